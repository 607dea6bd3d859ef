"""The fingerprint changes with each thing that it must change with, and with nothing else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from sharpvae.config.experiment import stage_files
from sharpvae.config.resolve import resolve_file
from sharpvae.training.checkpoints import CODE, fingerprint, identity
from sharpvae.training.config import TrainStage

REPOSITORY = Path(__file__).parents[2]
EXPERIMENT = resolve_file(REPOSITORY / "params.yaml").experiment
CONFIG = stage_files(EXPERIMENT)["improved/train.json"]
assert isinstance(CONFIG, TrainStage)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A library with code that makes weights and code that does not, and some data."""
    for name, text in {
        "sharpvae/training/loop.py": "import sharpvae.vae\n",
        "sharpvae/vae/deeper/layers.py": "",
        "sharpvae/report/page.py": "",
        "data/train.npy": "pixels",
        "models/critic/critic.json": "{}",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def of(place: Path, config: TrainStage = CONFIG, seed: int = 0, device: str = "cpu") -> str:
    data = [place / "data/train.npy", place / "models/critic"]
    return fingerprint(identity(config, seed, torch.device(device), data, place / "sharpvae"))


def changed(**keys: object) -> TrainStage:
    """The configuration with keys such as train__lr changed."""
    tree = CONFIG.model_dump()
    for name, value in keys.items():
        *path, last = name.split("__")
        section = tree
        for part in path:
            section = section[part]
        assert section[last] != value
        section[last] = value
    return TrainStage.model_validate(tree)


@pytest.mark.parametrize(
    "key",
    [{"train__lr": 0.5}, {"model__latent_dim": 3}, {"loss__beta": 7.0}, {"variant": "other"},
     {"loss__schedules__beta__length": 6.0}, {"train__accumulate": 2}, {"train__devices": 2},
     {"train__precision": "bf16"}, {"train__ema": 0.5}, {"device": "cuda"}, {"threads": 9}],
    ids=str,
)  # fmt: skip
def test_it_changes_with_the_configuration(place: Path, key: dict[str, object]) -> None:
    assert of(place, changed(**key)) != of(place)


def test_it_changes_with_the_code_of_a_network_of_the_user_s_own(place: Path) -> None:
    own = [CONFIG.model_copy(update={"code": code}) for code in ("one", "other")]
    assert len({of(place, config) for config in [CONFIG, *own]}) == 3


@pytest.mark.parametrize(
    "key", [{"logging__tensorboard": True}, {"logging__every": 7}, {"train__checkpoint_every": 1}],
    ids=str,
)  # fmt: skip
def test_who_watches_is_no_part_of_it(place: Path, key: dict[str, object]) -> None:
    assert of(place, changed(**key)) == of(place)


def test_it_changes_with_the_seed_and_the_kind_of_device(place: Path) -> None:
    assert len({of(place), of(place, seed=1), of(place, device="cuda:0")}) == 3
    assert of(place, device="cuda:0") == of(place, device="cuda:1"), "any GPU may go on"


@pytest.mark.parametrize(
    "file",
    ["sharpvae/training/loop.py", "sharpvae/vae/deeper/layers.py", "data/train.npy",
     "models/critic/critic.json"],
)  # fmt: skip
def test_it_changes_with_what_is_run_and_read(place: Path, file: str) -> None:
    before = of(place)
    with (place / file).open("a") as appended:
        appended.write("\n")
    assert of(place) != before


@pytest.mark.parametrize("folder", CODE)
def test_it_changes_with_every_folder_that_the_stage_lists(place: Path, folder: str) -> None:
    before = of(place)
    (place / "sharpvae" / folder).mkdir(exist_ok=True)
    (place / "sharpvae" / folder / "new.py").write_text("")
    assert of(place) != before


def test_another_folder_is_no_part_of_it(place: Path) -> None:
    before = of(place)
    (place / "sharpvae/report/page.py").write_text("changed = True")
    (place / "sharpvae/report/new.py").write_text("")
    assert of(place) == before


def test_a_new_file_in_a_directory_of_data_is(place: Path) -> None:
    before = of(place)
    (place / "models/critic/more").write_text("")
    assert of(place) != before


def test_it_changes_with_the_version_of_torch(place: Path, monkeypatch) -> None:
    before = of(place)
    monkeypatch.setattr(torch, "__version__", "2.0")
    assert of(place) != before


def test_where_it_lies_is_no_part_of_it(place: Path, tmp_path_factory) -> None:
    """`dvc exp run --temp` works in a copy."""
    copy = tmp_path_factory.mktemp("copy") / "elsewhere"
    shutil.copytree(place, copy)
    assert of(copy) == of(place)


def test_parts_do_not_run_into_each_other() -> None:
    assert fingerprint({"a": "bc"}) != fingerprint({"ab": "c"})
    assert len(fingerprint({})) == 32
