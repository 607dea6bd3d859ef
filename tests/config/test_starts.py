"""A schedule in updates that no training can reach is told before the images are prepared."""

from __future__ import annotations

import copy
from typing import Any

from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import Resolved, resolve
from sharpvae.config.rules import most_epoch_steps, schedules
from tests.datasets.samples import REPOSITORY

PARAMS = read_settings(REPOSITORY / "params.yaml")


def resolved(
    start: float, unit: str = "steps", updates: int | None = None, **data: Any
) -> Resolved:
    params = copy.deepcopy(PARAMS)
    params["train"] |= {"epochs": 30} if updates is None else {"updates": updates}
    params["data"].update(data)
    params["variants"] = {"late": {"loss": {
        "weights": {"adversarial": 1.0},
        "schedules": {"adversarial": {"start": start, "unit": unit}},
    }}}  # fmt: skip
    return resolve(params, Studies(REPOSITORY / "studies"))


def test_the_bound_is_of_all_images_in_whole_batches() -> None:
    experiment = resolved(0.0).experiment
    late = experiment.variants["late"]
    assert (late.train.batch_size, late.train.epochs) == (64, 30)
    assert most_epoch_steps(experiment.data, late) == 5000 // 64
    assert most_epoch_steps(resolved(0.0, subset=640).experiment.data, late) == 10
    assert most_epoch_steps(resolved(0.0, name="folder").experiment.data, late) is None


def test_a_start_past_the_last_update_names_the_key() -> None:
    (error,) = schedules(resolved(2340.0), "late")
    text = str(error)
    for part in (
        "variants.late.loss.schedules.adversarial.start",
        "before the last of the 2340 updates",
        "train.epochs",
    ):
        assert part in text


def test_what_may_be_reached_passes() -> None:
    assert not list(schedules(resolved(2338.0), "late"))
    assert not list(schedules(resolved(9e9, name="folder"), "late"))
    assert not list(schedules(resolved(0.5, unit="fraction"), "late"))


def test_updates_end_within_an_epoch_of_their_number() -> None:
    (error,) = schedules(resolved(1780.0, updates=1680), "late")
    assert "train.updates" in str(error)
    assert not list(schedules(resolved(1680.0, updates=1680), "late")), "78 more fill the epoch"
