"""Schedules as functions: their ends, their order, and the published formulas."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sharpvae.objective.config import ScheduleConfig
from sharpvae.objective.schedules import Span, fraction_of_full, late_start, lr_factor, never_starts

SPAN = Span(epoch_steps=10, epochs=40)


def schedule(shape: str, **changes: object) -> ScheduleConfig:
    plain = {"unit": "epochs", "start": 0.0, "length": 2.0, "cycle": 5.0, "every": "step"}
    return ScheduleConfig.model_validate({"shape": shape, **plain, **changes})


shapes = st.sampled_from(["constant", "linear", "cosine", "sigmoid"])
schedules = st.builds(
    schedule,
    shapes,
    unit=st.sampled_from(["epochs", "steps", "fraction"]),
    start=st.floats(0, 500),
    length=st.floats(0, 500),
    every=st.sampled_from(["step", "epoch"]),
)


@given(schedules, st.integers(0, 400))
def test_a_rise_never_falls_and_stays_between_its_ends(one: ScheduleConfig, step: int) -> None:
    now, later = (fraction_of_full(one, at, SPAN) for at in (step, step + 1))
    assert 0 <= now <= later <= 1


@pytest.mark.parametrize("shape", ["linear", "cosine", "sigmoid"])
def test_a_rise_begins_at_0_is_half_way_in_the_middle_and_ends_at_1(shape: str) -> None:
    one = schedule(shape, start=1.0)
    values = [fraction_of_full(one, step, SPAN) for step in (0, 9, 10, 20, 30, 31, 399)]
    assert values == pytest.approx([0, 0, 0, 0.5, 1, 1, 1])


def test_a_quarter_of_the_way_tells_the_shapes_apart() -> None:
    values = {s: fraction_of_full(schedule(s), 5, SPAN) for s in ("linear", "cosine", "sigmoid")}
    assert values["linear"] == 0.25
    assert values["cosine"] == pytest.approx((1 - math.sqrt(0.5)) / 2)
    # 1 / (1 + e^3) on a scale that runs from 1 / (1 + e^6) to its complement
    low = 1 / (1 + math.exp(6))
    assert values["sigmoid"] == pytest.approx((1 / (1 + math.exp(3)) - low) / (1 - 2 * low))


def test_units_are_epochs_updates_or_fractions_of_the_training() -> None:
    same = [
        schedule("linear", unit="epochs", start=4.0, length=8.0),
        schedule("linear", unit="steps", start=40.0, length=80.0),
        schedule("linear", unit="fraction", start=0.1, length=0.2),
    ]
    for step in (0, 40, 41, 77, 119, 120, 300):
        first, *others = (fraction_of_full(one, step, SPAN) for one in same)
        assert others == pytest.approx([first, first])


def test_a_cycle_is_that_of_fu_et_al_2019() -> None:
    """tau = mod(t - 1, T/M) / (T/M); beta = tau / R for tau <= R, else 1."""
    total, cycles, ratio = 400, 4, 0.5
    one = schedule("cyclic", unit="fraction", cycle=1 / cycles, length=ratio / cycles)
    for step in range(total):
        tau = step % (total / cycles) / (total / cycles)
        assert fraction_of_full(one, step, SPAN) == pytest.approx(min(1.0, tau / ratio))


def test_the_cycle_of_document_002_moves_once_an_epoch() -> None:
    """beta = beta_max * min(1, pos / warm-up), pos = (epoch - 1) % cycle, epochs from 1."""
    one = schedule("cyclic", length=10.0, cycle=20.0, every="epoch")
    for step in range(SPAN.steps):
        epoch = step // SPAN.epoch_steps + 1
        expected = min(1.0, (epoch - 1) % 20 / 10)
        assert fraction_of_full(one, step, SPAN) == pytest.approx(expected)


@pytest.mark.parametrize("changes", [{"length": 0.0}, {"length": 6.0}])
def test_a_cycle_must_hold_its_rise(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="length <= cycle"):
        schedule("cyclic", **changes)


def test_what_starts_after_the_end_never_starts() -> None:
    assert never_starts(schedule("constant", start=40.0), SPAN)
    assert not never_starts(schedule("constant", start=39.0), SPAN)
    assert never_starts(schedule("linear", unit="steps", start=399.0), SPAN), "its last is still 0"
    again = schedule("cyclic", length=10.0, cycle=20.0, every="epoch")
    assert not never_starts(again, Span(10, 21)), "0 at the last update, but not before"


def test_a_late_start_is_found_as_soon_as_it_can_be_known() -> None:
    late = schedule("constant", start=40.0)
    assert late_start(late, 1.0, 40) == "below 40, where training is at its end"
    assert late_start(late, 0.0, 40) is None, "nobody waits for a term without a weight"
    assert late_start(late, 1.0, 41) is None and late_start(late, 1.0, 41, 10) is None
    assert late_start(schedule("linear", unit="fraction", start=1.0), 1.0, 40) is not None
    updates = schedule("linear", unit="steps", start=399.0)
    assert late_start(updates, 1.0, 40) is None, "until there is data"
    assert late_start(updates, 1.0, 40, 10) == "before the last of the 400 updates"


@given(st.integers(1, 50), st.integers(1, 50), st.floats(0, 0.9), st.data())
def test_the_cosine_rises_to_1_and_falls_towards_0(
    epoch_steps: int, epochs: int, warmup: float, data: st.DataObject
) -> None:
    span = Span(epoch_steps, epochs)
    rise = min(round(warmup * span.steps), span.steps - 1)
    factors = [lr_factor("cosine", step, span, warmup, 0.5, 1) for step in range(span.steps + 1)]
    assert factors[rise] == 1
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert factors[: rise + 1] == sorted(factors[: rise + 1])
    assert factors[rise:] == sorted(factors[rise:], reverse=True)
    assert all(0 <= factor <= 1 for factor in factors)


def test_the_cosine_without_warm_up_is_pytorchs() -> None:
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    oracle = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, SPAN.steps)
    for step in range(SPAN.steps):
        expected = optimizer.param_groups[0]["lr"]
        assert lr_factor("cosine", step, SPAN, 0.0, 0.5, 1) == pytest.approx(expected, abs=1e-9)
        optimizer.step()
        oracle.step()


def test_steps_fall_every_so_many_epochs() -> None:
    factors = [lr_factor("step", step, SPAN, 0.0, 0.1, 3) for step in (0, 29, 30, 59, 60)]
    assert factors == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert lr_factor("none", 5, SPAN, 0.5, 0.1, 3) == 1
