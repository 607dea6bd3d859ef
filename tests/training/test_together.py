"""Two processes that train together see the same images, and come to the same as one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import global_seed
from sharpvae.distributed import processes
from sharpvae.objective.adversary import Adversary
from sharpvae.objective.config import LossConfig
from sharpvae.objective.discriminator import Discriminator
from sharpvae.objective.objective import Objective
from sharpvae.objective.schedules import Span
from sharpvae.training.config import TrainConfig
from sharpvae.training.loop import Trainer
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.vae import VAE
from tests.conftest import toy_loss, toy_model, toy_train
from tests.feeds import feed_of
from tests.peers import together
from tests.training.conftest import bars

BATCH, EPOCHS = 16, 3
KINDS: dict[str, dict[str, Any]] = {
    "batch norm": {},
    "pieces, average, plateau": {
        "train": {"accumulate": 2, "ema": 0.9, "scheduler": "plateau", "lr_patience": 0,
                  "grad_clip": 0.1, "flip": True},
    },
    "adversary, adaptive": {
        "loss": {"weights": {"adversarial": 0.1}, "schedules": {"adversarial": {"start": 1.0}},
                 "adversarial": {"fakes": "both", "norm": "batch"}},
    },
    "adversary, whole image": {
        "loss": {"weights": {"adversarial": 0.1, "matching": 0.05},
                 "schedules": {"adversarial": {"start": 1.0}},
                 "adversarial": {"fakes": "samples", "codes": "aggregate", "heads": "both",
                                 "norm": "none", "r1": 0.1, "r1_every": 3,
                                 "augment": ["colour", "translation", "cutout"]}},
        "train": {"accumulate": 2},
    },
    "controller, free bits": {"loss": {"beta": 5.0, "kl_share": 0.1, "free_bits": 0.05}},
    "best variance": {"loss": {"weights": {"mse": 0.0, "gaussian": 1.0}}},
    "group norm": {"model": {"norm": "group"}},
}  # fmt: skip


def trainer(model: dict = {}, loss: dict = {}, train: dict = {}) -> Trainer:  # noqa: B006
    """40 images to validate on, so that two processes have unequal numbers of batches."""
    config = TrainConfig.model_validate(toy_train(batch_size=BATCH, epochs=EPOCHS, **train))
    with global_seed(0, "weights"):
        vae = VAE(ModelConfig.model_validate(toy_model(**model)), 1, 16)
    losses = LossConfig.model_validate(toy_loss(**{"beta": 0.1, **loss}))
    target = Objective(losses, 256, 4, Span(64 // BATCH, EPOCHS), None)
    adversary = None
    if losses.weights.adversarial > 0:
        with global_seed(0, "discriminator"):
            section = losses.adversarial
            network = Discriminator(1, [4, 8, 8], section.norm, heads=section.heads, image_size=16)
        adversary = Adversary(network, losses.adversarial, 256)
    train_feed, validation = feed_of(bars(64, 0)), feed_of(bars(40, 1))
    return Trainer(vae, target, config, train_feed, validation, 0, "x", 2, adversary)


def every_kind() -> dict[str, Any]:
    """The records and the weights of each kind of training, as plain values."""
    found = {}
    for name, kind in KINDS.items():
        run = trainer(**kind)
        numbers = [event.numbers for event in run.run() if getattr(event, "numbers", None)]
        found[name] = {
            "numbers": numbers,
            "train": [record.train for record in run.history],
            "validation": [record.validation for record in run.history],
            "kl": [record.kl_per_dimension for record in run.history],
            "active": [record.active_units for record in run.history],
            "lr": [record.lr for record in run.history],
            "beta": [record.beta for record in run.history],
            "weights": run.weights()["last"],
        }
    return found


@pytest.fixture(scope="module")
def found() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Alone; and each of two."""
    first, second = together(every_kind)
    return every_kind(), first, second


@pytest.mark.parametrize("kind", KINDS)
def test_two_come_to_the_same_as_one(found, kind: str) -> None:
    alone, first, _ = (run[kind] for run in found)
    for key in ("train", "validation", "numbers"):
        for ours, theirs in zip(alone[key], first[key], strict=True):
            assert ours.keys() == theirs.keys()
            for name, value in ours.items():
                assert theirs[name] == pytest.approx(value, rel=2e-3, abs=1e-3), (key, name)
    assert first["lr"] == alone["lr"] and first["active"] == alone["active"]
    assert first["beta"] == pytest.approx(alone["beta"], rel=1e-3)
    torch.testing.assert_close(
        torch.tensor(first["kl"]), torch.tensor(alone["kl"]), rtol=5e-3, atol=1e-3
    )


def test_the_losses_of_the_first_updates_are_equal_to_rounding(found) -> None:
    """Later ones drift apart, since Adam divides rounding by rounding."""
    for kind in KINDS:
        ours, theirs = (run[kind]["numbers"][0] for run in found[:2])
        for name, value in ours.items():
            assert theirs[name] == pytest.approx(value, rel=2e-5, abs=1e-6), (kind, name)


@pytest.mark.parametrize("kind", KINDS)
def test_both_have_the_very_same_weights(found, kind: str) -> None:
    _, first, second = (run[kind]["weights"] for run in found)
    assert all(torch.equal(first[name], second[name]) for name in first)


def resumed() -> bool:
    """Whether a training that two took up where two broke off ends as one of two that did not.

    Both take up what the first has saved: that is what lies on the disk.
    """
    whole, broken, again = trainer(), trainer(), trainer()
    list(whole.run())
    for _ in zip(range(7), broken.run(), strict=False):  # in the second epoch
        pass
    states = [broken.state_dict()]
    torch.distributed.broadcast_object_list(states)
    again.load_state_dict(states[0])
    list(again.run())
    one, other = whole.weights()["last"], again.weights()["last"]
    same = all(torch.equal(one[name], other[name]) for name in one)
    return same and whole.history == again.history


def test_two_go_on_to_the_same_weights_bit_for_bit() -> None:
    assert together(resumed) == [True, True]


def poisoned() -> str:
    """The second process alone meets an image that is no number; what each says."""
    run = trainer()
    measured, calls = run.objective.terms, []

    def terms(*arguments: torch.Tensor) -> dict[str, torch.Tensor]:
        found = measured(*arguments)
        calls.append(1)
        if processes.rank() == 1 and len(calls) == 3:
            found["l1"] = found["l1"] * float("nan")  # has no weight, so no gradient tells
        return found

    run.objective.terms = terms  # type: ignore[method-assign]
    try:
        list(run.run())
    except UserError as error:
        return str(error)
    return ""


def test_what_one_meets_stops_both_with_the_same_words() -> None:
    first, second = together(poisoned)
    assert first == second
    assert "'l1'" in first and "nan at update 3" in first
