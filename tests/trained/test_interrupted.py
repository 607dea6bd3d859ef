"""A training that has not come to its end, looked at by its last checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json, write_json
from sharpvae.core.seeds import global_seed
from sharpvae.trained import interrupted
from sharpvae.trained.interrupted import from_checkpoint
from sharpvae.trained.model import load
from sharpvae.training import checkpoints
from sharpvae.training.checkpoints import Checkpoints, Ticket, identity
from sharpvae.training.config import Before, TrainStage
from sharpvae.vae.vae import VAE
from tests.conftest import IMPROVED, REPOSITORY, toy_model
from tests.trained.toys import images, tell

Saved = Callable[..., Path]


@pytest.fixture
def stage(loss_config, train_config) -> TrainStage:
    return TrainStage(
        variant="toy", model=toy_model(), loss=loss_config(), train=train_config(),
        logging={"every": 1, "dvclive": False, "tensorboard": False, "wandb": None},
        device="cpu", threads=1,
    )  # fmt: skip


@pytest.fixture
def saved(tmp_path: Path, stage: TrainStage) -> Saved:
    """Writes the settings of a training and its checkpoints of two updates; the newest."""

    def write(phase: TrainStage = stage, average: bool = False, whole: TrainStage = stage) -> Path:
        tell(tmp_path)
        write_json(tmp_path / "configs/toy/train.json", whole.model_dump(mode="json"))
        folder = tmp_path / ".checkpoints/0a1b"
        kept = Checkpoints(folder, lambda line: None)
        with kept.held():
            for step in (7, 70):
                state = {"update": {"vae": weights(step)}, "average": None}
                kept.save(step, state | ({"average": weights(-step)} if average else {}))
        parts = identity(phase, 5, torch.device("cpu"), (), REPOSITORY / "sharpvae")
        Ticket("toy", 5, "this", parts).write(folder)
        return max(folder.glob("*.pt"))

    return write


def vae_of(seed: int) -> VAE:
    with global_seed(abs(seed) + (seed < 0), "weights"):
        return VAE(IMPROVED.model.model_validate(toy_model()), 1, 16).eval()


def weights(seed: int) -> dict[str, Any]:
    return dict(vae_of(seed).state_dict())


@pytest.mark.parametrize("average", [False, True])
def test_it_is_the_vae_of_the_last_checkpoint(saved: Saved, average: bool) -> None:
    path = saved(average=average)
    vae, asked = load(path, "cpu"), images(3)
    with torch.no_grad():
        planes = torch.from_numpy(asked).permute(0, 3, 1, 2) / 255
        expected = vae_of(-70 if average else 70).encoder(planes).mean.numpy()
    assert vae.encode(asked).mean == pytest.approx(expected)
    assert vae.headline is None and vae.sample(2, prior="normal").shape == (2, 16, 16, 1)
    with pytest.raises(UserError, match="dvc repro"):
        vae.sample(2)


def test_the_first_of_two_phases_can_be_looked_at_too(saved: Saved, stage: TrainStage) -> None:
    whole = stage.model_copy(update={"before": Before(loss=stage.loss, train=stage.train)})
    assert load(saved(whole.first_phase(), whole=whole), "cpu").latent_dim == 4
    assert load(saved(whole, whole=whole), "cpu").latent_dim == 4


def test_the_newest_of_each_training_is_listed(saved: Saved, tmp_path: Path) -> None:
    assert list(interrupted.interrupted(tmp_path)) == []
    path = saved()
    (tmp_path / ".checkpoints/none").mkdir()
    (tmp_path / ".checkpoints/none/training.json").write_text("{}")
    (tmp_path / ".checkpoints/broken").mkdir()
    (tmp_path / ".checkpoints/broken/training.json").write_text("[")
    (tmp_path / ".checkpoints/broken/000000000001-ab.pt").write_bytes(b"")
    assert list(interrupted.interrupted(tmp_path)) == [("toy/5", path)]


def test_both_know_where_checkpoints_lie() -> None:
    assert (interrupted.FOLDER, interrupted._TICKET) == (checkpoints.FOLDER, checkpoints._TICKET)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _no_ticket(path: Path) -> None:
    (path.parent / "training.json").unlink()


def _other_settings(path: Path) -> None:
    file = path.parents[2] / "configs/toy/train.json"
    told = read_json(file)
    told["train"]["lr"] *= 2
    write_json(file, told)


def _other_size(path: Path) -> None:
    tell(path.parents[2], size=32)


def _foreign(path: Path) -> None:
    path.unlink()
    kept = Checkpoints(path.parent, lambda line: None)
    kept.save(70, {"a": torch.zeros(1)})


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (_cut, "a damaged one"), (_no_ticket, "training.json"),
        (_other_settings, "settings that the training began with"),
        (_other_size, "weights that fit"), (_foreign, "weights that fit"),
    ],
)  # fmt: skip
def test_what_cannot_be_looked_at_is_told(
    saved: Saved, change: Callable[[Path], None], part: str
) -> None:
    path = saved()
    change(path)
    newest = max(path.parent.glob("0*70-*.pt"))
    with pytest.raises(UserError) as told:
        from_checkpoint(newest)
    assert part in str(told.value) and "dvc repro" in str(told.value)
