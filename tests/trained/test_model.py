"""A trained VAE called from Python: what comes out, and what is said where it cannot."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json, write_json
from sharpvae.core.seeds import global_seed
from sharpvae.trained import model
from sharpvae.trained.model import TrainedVAE, load
from sharpvae.vae.vae import VAE, save_vae
from tests.conftest import REPOSITORY
from tests.trained.toys import COUNT, NAMES, images, make

Workspace = Callable[..., Path]


@pytest.fixture
def workspace(tmp_path: Path, model_config) -> Workspace:
    """Makes models/toy/5, and data/samples/toy/5 as the stage `sample` writes it."""

    def build(conditional: bool = False, channels: int = 1, **sample: Any) -> Path:
        return make(tmp_path, model_config(conditional=conditional), channels, **sample)

    return build


def apart(one: np.ndarray, other: np.ndarray) -> int:
    """The largest difference, in grey levels."""
    return int(np.abs(one.astype(int) - other.astype(int)).max())


@pytest.mark.parametrize("channels", [1, 3])
def test_it_says_what_it_is(workspace: Workspace, channels: int) -> None:
    vae = load(workspace(channels=channels), "cpu")
    assert (vae.image_size, vae.channels, vae.latent_dim) == (16, channels, 4)
    assert (vae.classes, vae.class_names, vae.headline) == (0, None, "flow")
    assert vae.device == torch.device("cpu") and not vae.network.training
    said = repr(vae)
    assert "\n" not in said and f"16x16x{channels}" in said and "prior flow" in said


@pytest.mark.parametrize("conditional", [False, True])
def test_samples_are_those_of_the_stage(workspace: Workspace, conditional: bool) -> None:
    """Of every prior, from the file alone; to within a grey level, as sums may round otherwise."""
    folder = workspace(conditional)
    drawn = folder.parents[2] / "data/samples/toy/5"
    label = np.load(drawn / "labels.npy") if conditional else None
    vae = load(folder, "cpu")
    for prior, file in ((None, "headline"), ("normal", "prior"), ("mixture",) * 2, ("flow",) * 2):
        found = vae.sample(COUNT, seed=5, prior=prior, label=label)
        assert found.dtype == np.uint8 and found.shape == (COUNT, 16, 16, 1)
        assert apart(found, np.load(drawn / f"{file}.npy")) <= 1, file


def test_equal_arguments_give_equal_images(workspace: Workspace, monkeypatch) -> None:
    vae = load(workspace(), "cpu")
    for prior in model.PRIORS:
        one = vae.sample(7, seed=1, prior=prior)
        assert np.array_equal(one, vae.sample(7, seed=1, prior=prior))
        assert not np.array_equal(one, vae.sample(7, seed=2, prior=prior))
        with monkeypatch.context() as patch:
            patch.setattr(model, "_BATCH", 3)
            assert apart(one, vae.sample(7, seed=1, prior=prior)) <= 1
    for prior in ("normal", "flow"):
        cold = vae.sample(7, prior=prior, temperature=0)
        assert apart(cold, cold[:1]) <= 1, "without noise every image is the same"


def test_arrays_and_tensors_give_the_same_in_their_own_form(
    workspace: Workspace, monkeypatch
) -> None:
    monkeypatch.setattr(model, "_BATCH", 4)  # several batches
    vae, packed = load(workspace(channels=3), "cpu"), images(9, 3)
    planes = torch.from_numpy(packed).permute(0, 3, 1, 2)
    code, twin = vae.encode(packed), vae.encode(planes / 255)
    for mine, other in zip(code, twin, strict=True):
        assert isinstance(mine, np.ndarray) and isinstance(other, torch.Tensor)
        assert mine.dtype == np.float32 and mine.shape == (9, 4)
        assert torch.allclose(torch.from_numpy(mine), other, atol=1e-5)
    again, shown = vae.reconstruct(packed), vae.reconstruct(planes)
    assert again.dtype == np.uint8 and again.shape == packed.shape
    assert shown.dtype == torch.float32 and shown.shape == planes.shape
    assert not shown.requires_grad and shown.min() >= 0 and shown.max() <= 1
    assert (shown * 255 - torch.from_numpy(again).permute(0, 3, 1, 2)).abs().max() <= 0.51
    assert np.array_equal(vae.decode(code.mean), again)
    assert torch.allclose(vae.decode(twin.mean), shown, atol=1e-5)


@pytest.mark.parametrize("path", model.PATHS)
def test_a_path_leads_from_one_reconstruction_to_the_other(workspace: Workspace, path) -> None:
    vae, packed = load(workspace(), "cpu"), images(2)
    ends = vae.reconstruct(packed)
    between = vae.interpolate(packed[0], packed[1], 5, path)
    assert between.shape == (5, 16, 16, 1) and between.dtype == np.uint8
    assert apart(between[[0, -1]], ends) <= 1
    planes = torch.from_numpy(packed).permute(0, 3, 1, 2)
    assert vae.interpolate(planes[0], planes[1]).shape == (8, 1, 16, 16)


def test_a_conditional_vae_draws_what_it_is_asked_for(workspace: Workspace) -> None:
    vae, packed = load(workspace(conditional=True), "cpu"), images(3)
    assert vae.classes == 3 and vae.class_names == tuple(NAMES)
    ash, cedar = (vae.sample(4, label=name) for name in ("ash", "cedar"))
    assert not np.array_equal(ash, cedar) and np.array_equal(ash, vae.sample(4, label=0))
    mixed = vae.reconstruct(packed, label=["ash", "beech", 2])
    alone = [vae.reconstruct(packed[i : i + 1], label=i)[0] for i in range(3)]
    assert apart(mixed, np.stack(alone)) <= 1
    code = vae.encode(packed, label=1).mean
    assert vae.decode(code, label=1).shape == packed.shape
    assert vae.interpolate(packed[0], packed[1], 3, label="ash").shape == (3, 16, 16, 1)
    with pytest.raises(UserError, match="the VAE is conditional"):
        vae.sample(4)


def test_the_headline_may_be_the_normal_prior(workspace: Workspace) -> None:
    vae = load(workspace(prior="normal"), "cpu")
    assert vae.headline == "normal"
    assert np.array_equal(vae.sample(3), vae.sample(3, prior="normal"))


def test_without_its_priors_a_vae_draws_from_the_normal_one_if_asked(workspace: Workspace) -> None:
    folder = workspace()
    shutil.rmtree(folder.parents[2] / "data")
    vae = load(folder, "cpu")
    assert vae.headline is None and "unknown" in repr(vae)
    assert vae.sample(2, prior="normal").shape == (2, 16, 16, 1)
    for prior in (None, "flow"):
        with pytest.raises(UserError, match="no such file") as caught:
            vae.sample(2, prior=prior)
        assert "dvc repro sample" in caught.value.fix and "prior='normal'" in caught.value.fix


def test_priors_of_another_training_are_not_drawn_from(workspace: Workspace, model_config) -> None:
    folder = workspace()
    with global_seed(1, "again"):
        save_vae(folder, VAE(model_config(), 1, 16), model_config(), 1, 16)
    with pytest.raises(UserError, match="of other weights"):
        load(folder, "cpu").sample(2)


def test_a_model_is_taken_away_with_its_priors_beside_it(
    workspace: Workspace, tmp_path: Path
) -> None:
    folder = workspace()
    expected = load(folder, "cpu").sample(3)
    away = shutil.copytree(folder, tmp_path / "away")
    shutil.copy(tmp_path / "data/samples/toy/5/priors.safetensors", away)
    shutil.rmtree(tmp_path / "data")
    assert np.array_equal(load(away, "cpu").sample(3), expected)


def test_loading_imports_no_compiler(workspace: Workspace) -> None:
    """It takes over a second, and PyTorch does so for a normal draw of a tensor without values."""
    program = "import sys; from sharpvae import load; load(sys.argv[1]); print(*sys.modules)"
    command = [sys.executable, "-c", program, str(workspace())]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert "torch._dynamo" not in done.stdout.split()


def test_a_relative_path_finds_the_same(workspace: Workspace, monkeypatch) -> None:
    folder = workspace()
    monkeypatch.chdir(folder.parents[2])
    assert load("models/toy/5", "cpu").headline == "flow"
    monkeypatch.chdir(folder)
    assert load(".", "cpu").headline == "flow"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"n": 0}, "a whole number, 1 or more"),
        ({"n": 2, "seed": -1}, "a whole number, 0 or more"),
        ({"n": 2, "prior": "prior"}, "one of normal, mixture, flow"),
        ({"n": 2, "prior": "flows"}, "did you mean 'flow'"),
        ({"n": 2, "label": 1}, "not conditional"),
        ({"n": 2, "temperature": -1.0}, "a number, 0 or more"),
    ],
)
def test_what_cannot_be_drawn_is_refused(workspace: Workspace, arguments, says: str) -> None:
    with pytest.raises(UserError, match=says):
        load(workspace(), "cpu").sample(**arguments)


def test_what_cannot_be_encoded_decoded_or_joined_is_refused(workspace: Workspace) -> None:
    vae: TrainedVAE = load(workspace(), "cpu")
    with pytest.raises(UserError, match="images"):
        vae.encode(images(2, 3))
    with pytest.raises(UserError, match="codes"):
        vae.decode(np.zeros((2, 5)))
    one, other = images(2)
    with pytest.raises(UserError, match="start"):
        vae.interpolate(images(2), other)
    with pytest.raises(UserError, match="end"):
        vae.interpolate(one, images(2))
    with pytest.raises(UserError, match="steps"):
        vae.interpolate(one, other, 1)
    with pytest.raises(UserError, match="linear, spherical"):
        vae.interpolate(one, other, 3, "round")  # type: ignore[arg-type]


def test_a_path_without_a_model_names_those_near(workspace: Workspace) -> None:
    folder = workspace()
    for path, found in (
        (folder.parent, "no network.json in it"),
        (folder.parents[1], "no network.json in it"),
        (folder / "network.json", "a file"),
    ):
        with pytest.raises(UserError, match=found) as caught:
            load(path, "cpu")
        assert str(folder) in caught.value.fix
    with pytest.raises(UserError, match="no such folder") as caught:
        load(folder.parent / "6", "cpu")
    assert "dvc repro" in caught.value.fix


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"model": {}}', '{"model": 3, "image_size": 16}']
)
def test_another_description_is_refused(workspace: Workspace, content: str) -> None:
    folder = workspace()
    (folder / "network.json").write_text(content)
    with pytest.raises(UserError, match=r"network\.json"):
        load(folder, "cpu")


def test_weights_of_another_network_or_none_are_refused(workspace: Workspace) -> None:
    folder = workspace()
    described = json.loads((folder / "network.json").read_text())
    described["model"]["latent_dim"] = 5
    (folder / "network.json").write_text(json.dumps(described))
    with pytest.raises(UserError, match=r"network\.json describes: encoder\.mean"):
        load(folder, "cpu")
    (folder / "weights.safetensors").write_bytes(b"junk")
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        load(folder, "cpu")


def test_a_folder_that_names_foreign_code_runs_none(workspace: Workspace, monkeypatch) -> None:
    folder = workspace()
    monkeypatch.chdir(folder)
    (folder / "mine.py").write_text("open('ran', 'w').close()\nclass Net: pass\n")
    described = read_json(folder / "network.json")
    for code in ({}, {"code": "0" * 64}):
        changed = {**described, **code, "model": {**described["model"], "family": "mine.py:Net"}}
        write_json(folder / "network.json", changed)
        with pytest.raises(UserError, match="the code whose digest"):
            load(folder, "cpu")
        assert not (folder / "ran").exists()


def test_an_unknown_device_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="auto, cpu, mps"):
        load(workspace(), "tpu")


def test_pytorch_stays_as_the_caller_has_it(workspace: Workspace, monkeypatch) -> None:
    """Its generator, and whether kernels must repeat themselves."""
    folder = workspace()
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    before = torch.get_deterministic_debug_mode()
    torch.set_deterministic_debug_mode("default")
    try:
        state = torch.get_rng_state()
        vae = load(folder, "cpu")
        vae.sample(2)
        vae.reconstruct(images(2))
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.get_deterministic_debug_mode() == 0
        assert torch.backends.cudnn.benchmark and torch.is_grad_enabled()
    finally:
        torch.set_deterministic_debug_mode(before)


def test_the_lines_of_the_documentation_run(workspace: Workspace, monkeypatch) -> None:
    text = (REPOSITORY / "docs/python.md").read_text(encoding="utf-8")
    lines, *_ = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(workspace().parents[2])
    scope: dict[str, Any] = {}
    exec(lines.replace("sharp/0", "toy/5"), scope)
    assert scope["images"].shape == scope["again"].shape == (16, 16, 16, 1)


def test_images_made_elsewhere_are_no_model(tmp_path: Path) -> None:
    write_json(tmp_path / "summary.json", {"trained": False, "samples": "theirs.npy"})
    with pytest.raises(UserError, match="made elsewhere"):
        load(tmp_path, "cpu")
