"""Whatever trains ours trains a network of the user's own: losses, resuming, several processes."""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.training import build
from sharpvae.training.build import multiply_adds
from sharpvae.training.faults import activations, out_of_memory
from sharpvae.vae.reference import digest
from tests.networks import EXAMPLE, NETWORK, changed, written
from tests.peers import together
from tests.training.test_memory import stage
from tests.training.test_resume import finish, same, through_disk
from tests.training.test_together import trainer as one_of_several

MINE = {"family": EXAMPLE, "arguments": {"width": 4}}
ADVERSARIAL = {"weights": {"adversarial": 0.1, "matching": 0.05},
               "schedules": {"adversarial": {"start": 1.0}},
               "adversarial": {"fakes": "both", "codes": "aggregate"}}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "adversary at the last layer, average": {"loss": ADVERSARIAL, "ema": 0.9, "accumulate": 2},
    "Gaussian, free bits, cosine": {
        "loss": {"weights": {"mse": 0.0, "gaussian": 1.0}, "free_bits": 0.05},
        "scheduler": "cosine", "flip": True, "grad_clip": 0.1,
    },
    "bf16, muon, plateau": {"precision": "bf16", "optimizer": "muon", "scheduler": "plateau"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_goes_on_to_the_same_weights_bit_for_bit(trainer, kind: str) -> None:
    expected = trainer(model=MINE, **KINDS[kind])
    history, weights = finish(expected)
    assert history[-1].validation["mse"] < history[0].validation["mse"]
    broken = trainer(model=MINE, **KINDS[kind])
    list(islice(broken.run(), 11))
    resumed = trainer(model=MINE, **KINDS[kind])
    resumed.load_state_dict(through_disk(broken.state_dict()))
    assert finish(resumed)[0] == history
    assert all(same(resumed.weights()[name], weights[name]) for name in ("best", "last"))


def test_what_it_draws_in_training_is_a_function_of_the_seed(trainer, place: Path) -> None:
    noise = "        mean = mean + torch.randn_like(mean) if self.training else mean\n"
    family = written(place, changed("        return mean, log", f"{noise}        return mean, log"))
    first = trainer(model={"family": family}, epochs=1)
    list(first.run())
    torch.manual_seed(99)
    second = trainer(model={"family": family}, epochs=1)
    list(second.run())
    assert same(first.weights()["last"], second.weights()["last"])


def test_view_works_on_what_it_is_given(trainer, place: Path) -> None:
    """Which it would not, were its weights laid out with channels last, as ours are."""
    text = changed("self.body = nn.Linear(pixels, width)",
                   "self.map = nn.Conv2d(image_channels, 2, 3, padding=1)\n"
                   "        self.body = nn.Linear(2 * pixels, width)")  # fmt: skip
    text = text.replace("images.view(len(images), -1)", "self.map(images).view(len(images), -1)")
    list(trainer(model={"family": written(place, text)}, epochs=1).run())


def test_its_multiply_adds_are_counted(trainer, place: Path) -> None:
    run = trainer(model={"family": written(place)})
    assert multiply_adds(run.vae, run.train) == 256 * 8 + 8 * 8 + 4 * 256


def test_memory_that_is_too_small_is_told(model_config, place: Path) -> None:
    config = stage(model_config(family=written(place)), batch_size=8, precision="fp32")
    assert activations(config.model, 1, 16, 0, 8)[1] == 4 * (257 * 8 + 9 * 8 + 5 * 256)
    said = str(out_of_memory(config, (1, 16), 0, MemoryError()))
    assert "8 images at a time" in said and "train.accumulate: 2" in said
    assert "width_scale" not in said
    looks = changed("images.view", "(images + images.sum().item()).view")
    config = stage(model_config(family=written(place, looks)), batch_size=8, precision="fp32")
    said = str(out_of_memory(config, (1, 16), 0, MemoryError()))
    assert "MemoryError" in said and "images at a time" not in said


def trained() -> dict[str, Any]:
    """The example, by however many processes."""
    run = one_of_several(model=MINE, loss=ADVERSARIAL)
    list(run.run())
    losses = [record.validation["mse"] for record in run.history]
    return {"weights": run.weights()["last"], "mse": losses}


def test_two_processes_come_to_the_same_as_one() -> None:
    alone, (first, second) = trained(), together(trained)
    assert same(first["weights"], second["weights"])
    assert first["mse"] == pytest.approx(alone["mse"], rel=2e-3)


def test_training_refuses_other_code_and_a_broken_contract(model_config, place: Path) -> None:
    model = model_config(family=written(place))
    config = stage(model).model_copy(update={"code": digest(model.family)})
    feed = type("Grey", (), {"channels": 1, "image_size": 16})
    build._require_own_network(config, feed, 0, torch.device("cpu"))
    written(place, NETWORK.replace("torch.sigmoid", "torch.tanh"))
    with pytest.raises(UserError, match=r"dvc repro --force configure"):
        build._require_own_network(config, feed, 0, torch.device("cpu"))
    config = config.model_copy(update={"code": digest(model.family)})
    with pytest.raises(UserError, match=r"images in \[0, 1\] from decode"):
        build._require_own_network(config, feed, 0, torch.device("cpu"))
