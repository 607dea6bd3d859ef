"""A VAE taken away in each form: what is read back, and what is left behind where it fails."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file, save_file

from sharpvae.core.errors import UserError
from sharpvae.trained import onnx_files
from sharpvae.trained.export import FORMS, MARK, export
from sharpvae.trained.hub import HubVAE
from sharpvae.trained.model import load
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.vae import VAE, save_vae
from tests.conftest import REPOSITORY
from tests.trained.toys import images, make, tell

LABELS = [0, 1, 2, 1, 0, 2, 2]
NETWORKS: dict[str, dict[str, Any]] = {
    "plain": {},
    "conditional": {"conditional": True},
    "other layers": {
        "norm": "group", "blocks": "residual", "upsampling": "nearest", "head": "conv",
        "activation": "silu", "kernel": 3,
    },
    "mlp": {"family": "mlp", "conditional": True, "norm": "group", "activation": "tanh"},
}  # fmt: skip


def bare(root: Path, config: ModelConfig, channels: int = 1) -> Path:
    """models/toy/5 alone, of a VAE whose norms have seen images."""
    vae = VAE(config, channels, 16, classes=3)
    with torch.no_grad():
        for _ in range(3):
            vae(torch.rand(16, channels, 16, 16), torch.randn(16, 4), torch.arange(16) % 3)
    folder = root / "models/toy/5"
    folder.mkdir(parents=True)
    save_vae(folder, vae, config, channels, 16)
    return folder


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def run(file: Path, **inputs: Any) -> list[np.ndarray]:
    made = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    assert [given.name for given in made.get_inputs()] == list(inputs)
    return list(made.run(None, inputs))


@pytest.mark.parametrize("network", NETWORKS)
def test_onnx_computes_what_pytorch_does(tmp_path: Path, model_config, network: str) -> None:
    channels = 3 if network == "plain" else 1
    folder = bare(tmp_path, model_config(**NETWORKS[network]), channels)
    said = export(tmp_path, "toy", 5, "onnx", tmp_path / "out")
    assert re.search(r"to within \S+$", said)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "encoder.onnx", "decoder.onnx", MARK
    }  # fmt: skip
    vae = load(folder, "cpu")
    for count in (1, 2, 7):
        asked = LABELS[:count] if vae.classes else None
        labels = {} if asked is None else {"labels": np.array(asked)}
        planes = torch.from_numpy(images(count, channels)).permute(0, 3, 1, 2) / 255
        ours = vae.encode(planes, asked)
        theirs = run(tmp_path / "out/encoder.onnx", images=planes.contiguous().numpy(), **labels)
        for one, other in zip(ours, theirs, strict=True):
            assert other.dtype == np.float32 and other.shape == (count, 4)
            assert np.abs(one.numpy() - other).max() <= 1e-4
        (shown,) = run(tmp_path / "out/decoder.onnx", codes=ours.mean.numpy(), **labels)
        assert shown.dtype == np.float32 and shown.shape == (count, channels, 16, 16)
        assert np.abs(vae.decode(ours.mean, asked).numpy() - shown).max() <= 1e-4


def test_an_onnx_file_that_computes_something_else_is_not_left(
    tmp_path: Path, model_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare(tmp_path, model_config())
    write = onnx_files._write

    def skewed(graph: onnx_files.Graph, inputs: Any, path: Path) -> None:
        other = copy.deepcopy(graph.network)
        with torch.no_grad():
            [*other.part.parameters()][-1].add_(0.01)
        write(graph._replace(network=other), inputs, path)

    export(tmp_path, "toy", 5, "onnx", tmp_path / "old")
    before = tree(tmp_path)
    monkeypatch.setattr(onnx_files, "_write", skewed)
    for out in ("old", "new/er"):
        with pytest.raises(UserError, match=r"encoder\.onnx") as caught:
            export(tmp_path, "toy", 5, "onnx", tmp_path / out)
        assert "a difference of" in caught.value.found
        assert tree(tmp_path) == before
        assert not (tmp_path / "new").exists()


def test_what_is_no_number_differs() -> None:
    nothing, one = np.full((1, 2), np.nan, np.float32), np.ones((1, 2), np.float32)
    assert onnx_files._apart(one, nothing) == onnx_files._apart(nothing, one) == np.inf
    assert onnx_files._apart(one, one[:, :1]) == np.inf
    assert onnx_files._apart(100 * one, 100.01 * one) == pytest.approx(1e-4, rel=1e-2)


@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize("form", ["safetensors", "hub"])
def test_the_same_vae_is_read_back(
    tmp_path: Path, model_config, form: str, conditional: bool
) -> None:
    """Bit for bit: weights, samples of every prior, reconstructions."""
    folder = make(tmp_path, model_config(conditional=conditional))
    tell(tmp_path)
    export(tmp_path, "toy", 5, form, tmp_path / "out")
    label = 1 if conditional else None
    before = load(folder, "cpu")
    away = shutil.copytree(tmp_path / "out", tmp_path / "elsewhere/away")
    shutil.rmtree(tmp_path / "data")
    after = load(away, "cpu")
    assert (after.headline, after.class_names) == (before.headline, before.class_names)
    for prior in (None, "normal", "mixture", "flow"):
        one = before.sample(5, seed=3, prior=prior, label=label)
        assert np.array_equal(one, after.sample(5, seed=3, prior=prior, label=label))
    given = images(3)
    assert np.array_equal(before.reconstruct(given, label), after.reconstruct(given, label))
    networks = [after.network, *([HubVAE.from_pretrained(away)] if form == "hub" else [])]
    for network in networks:
        assert not network.training
        states = before.network.state_dict(), network.state_dict()
        assert list(states[0]) == list(states[1])
        assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_a_class_of_hugging_face_writes_what_it_reads(tmp_path: Path, model_config) -> None:
    made = HubVAE(1, 16, 0, model_config().model_dump())
    made.save_pretrained(tmp_path / "made")
    again = HubVAE.from_pretrained(tmp_path / "made")
    assert torch.equal(again.encoder.mean.weight, made.encoder.mean.weight)
    assert load(tmp_path / "made", "cpu").headline is None
    weights = load_file(tmp_path / "made/model.safetensors")
    del weights["encoder.mean.bias"]
    save_file(weights, tmp_path / "made/model.safetensors")
    with pytest.raises(UserError, match=r"encoder\.mean\.bias"):
        HubVAE.from_pretrained(tmp_path / "made")


def test_the_model_card(tmp_path: Path, model_config) -> None:
    make(tmp_path, model_config())
    tell(tmp_path)
    export(tmp_path, "toy", 5, "hub", tmp_path / "out")
    card = ModelCard.load(tmp_path / "out/README.md")
    assert card.data.license == "cc-by-sa-3.0" and card.data.library_name == "sharpvae"
    assert {"vae", "pytorch_model_hub_mixin"} <= set(card.data.tags)
    assert card.data.pipeline_tag == "unconditional-image-generation"
    assert r"# toy, a VAE of Leaves \| of trees" in card.text
    rows = [line[2:-2].split(" | ") for line in card.text.splitlines() if line[:1] == "|"]
    assert rows[0] == ["Score", "Better", "This VAE", "real", r"blur_1"]
    found = {row[0]: [cell.strip(" |") for cell in row[2:]] for row in rows}
    assert found["FID"] == ["7.611 ± 0.500", "2.4", "268"]
    assert found["FID, prior"] == ["138.9", "", ""]
    assert found["Coverage"] == ["0.957", "0.98", ""]
    assert "PSNR, dB" not in found
    for told in ("CC BY-SA 3.0", "Doe: Leaves, 1998", "3\N{NARROW NO-BREAK SPACE}600 train", "ash"):
        assert told in card.text
    assert "a flow fitted to its codes" in card.text and "several seeds" in card.text


def test_a_card_of_own_images_and_classes(tmp_path: Path, model_config) -> None:
    """Where the images lie is not told; a licence that has no name is `other`."""
    make(tmp_path, model_config(conditional=True))
    tell(tmp_path, name="folder", licence="not stated")
    export(tmp_path, "toy", 5, "hub", tmp_path / "out")
    card = ModelCard.load(tmp_path / "out/README.md")
    assert (card.data.license, card.data.license_name) == ("other", "images-not-stated")
    assert "conditional" in card.data.tags and card.data.pipeline_tag is None
    assert "/home/jane" not in card.text and "label=0" in card.text


def test_a_card_needs_scores_and_data_of_this_vae(tmp_path: Path, model_config) -> None:
    make(tmp_path, model_config())
    tell(tmp_path, size=32)
    out = tmp_path / "exports/toy"
    with pytest.raises(UserError, match="learned from"):
        export(tmp_path, "toy", 5, "hub", out)
    tell(tmp_path)
    (tmp_path / "reports/metrics.json").write_text('{"sharp": {"fid": 1.0}}')
    with pytest.raises(UserError, match="those of sharp"):
        export(tmp_path, "toy", 5, "hub", out)
    tell(tmp_path)
    for file in ("reports/floors.json", "data/samples/toy/5/priors.safetensors"):
        (tmp_path / file).unlink()
        with pytest.raises(UserError, match="no such file") as caught:
            export(tmp_path, "toy", 5, "hub", out)
        assert "dvc repro" in caught.value.fix
        tell(tmp_path)
    assert not (tmp_path / "exports").exists()


def test_an_export_is_replaced_and_nothing_else(
    tmp_path: Path, model_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path, model_config())
    tell(tmp_path)
    out = tmp_path / "out"

    def refused(found: str) -> None:
        before = tree(tmp_path)
        with pytest.raises(UserError, match=found) as caught:
            export(tmp_path, "toy", 5, "safetensors", out)
        assert "--out" in caught.value.fix
        assert tree(tmp_path) == before

    out.mkdir()
    export(tmp_path, "toy", 5, "hub", out)  # an empty folder is nobody's
    export(tmp_path, "toy", 5, "safetensors", out)
    names = {"weights.safetensors", "network.json", "priors.safetensors"}
    assert {path.name for path in out.iterdir()} == names | {MARK}
    about = json.loads((out / MARK).read_text())
    assert set(about["files"]) == names and (about["variant"], about["seed"]) == ("toy", 5)
    (out / "notes.txt").write_text("mine")
    refused(r"notes\.txt")
    (out / "notes.txt").unlink()
    (out / "network.json").write_text("{}")
    refused(r"changed: network\.json")
    (out / MARK).write_text("[]")
    refused("and 1 more")
    shutil.rmtree(out)
    export(tmp_path, "toy", 5, "safetensors", out)
    monkeypatch.chdir(out)
    refused("called in")
    monkeypatch.chdir(tmp_path)
    shutil.rmtree(out)
    out.write_text("mine")
    refused("a file")


def test_what_is_not_trained_is_named(tmp_path: Path, model_config) -> None:
    out = tmp_path / "out"
    with pytest.raises(UserError, match="trained VAEs") as caught:
        export(tmp_path, "toy", 5, "onnx", out)
    assert "top of the repository" in caught.value.fix
    bare(tmp_path, model_config())
    with pytest.raises(UserError, match="did you mean 'toy'"):
        export(tmp_path, "toi", 5, "onnx", out)
    with pytest.raises(UserError, match=r"--seed\n.*trained with: 5") as caught:
        export(tmp_path, "toy", 0, "onnx", out)
    assert "seeds=[0, 5]" in caught.value.fix
    assert not out.exists()


@pytest.mark.parametrize("form", ["onnx", "hub"])
def test_a_package_that_is_not_installed_is_named(
    tmp_path: Path, model_config, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    bare(tmp_path, model_config())
    for name in FORMS[form]:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(UserError, match=f"the package {name}\n") as caught:
                export(tmp_path, "toy", 5, form, tmp_path / "out")
        assert caught.value.fix == "pip install 'sharpvae[export]'"


def test_the_lines_of_the_documentation_run(
    tmp_path: Path, model_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (REPOSITORY / "docs/python.md").read_text(encoding="utf-8")
    (lines,) = (code for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL)
                if "onnxruntime" in code)  # fmt: skip
    bare(tmp_path, model_config())
    monkeypatch.chdir(tmp_path)
    export(Path(), "toy", 5, "onnx", Path("exports/sharp/0/onnx"))
    scope: dict[str, Any] = {}
    exec(lines.replace("(16, 128)", "(16, 4)"), scope)
    assert scope["images"].shape == (16, 1, 16, 16)
