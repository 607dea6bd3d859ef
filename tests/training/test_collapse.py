"""The watch on posterior collapse."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharpvae.objective.config import LossConfig
from sharpvae.training.loop import Epoch
from sharpvae.training.watch import CollapseWatch
from tests.training.records import epoch_record

Configured = Callable[..., LossConfig]


def history(*seen: tuple[float, int], beta: float = 1.0) -> list[Epoch]:
    """One epoch for each KL, in nats, and number of active units."""
    return [
        epoch_record(epoch, validation={"kl": kl}, active_units=active, beta=beta)
        for epoch, (kl, active) in enumerate(seen, 1)
    ]


def warned(loss: LossConfig, records: list[Epoch]) -> list[int]:
    watch = CollapseWatch(loss)
    return [record.epoch for record in records if watch.epoch(record) is not None]


@pytest.mark.parametrize("fallen", [(0.1, 2), (30.0, 0), (0.0, 0)])
def test_it_warns_once_in_the_second_epoch_in_which_it_is_seen(
    loss_config: Configured, fallen: tuple[float, int]
) -> None:
    assert warned(loss_config(), history((9.0, 2), *[fallen] * 9)) == [3]


def test_one_epoch_of_a_code_not_yet_learnt_is_none(loss_config: Configured) -> None:
    assert warned(loss_config(), history((0.01, 0), (5.0, 2), (0.01, 0), (5.0, 2))) == []


def test_a_kl_above_ln_2_with_active_units_is_none(loss_config: Configured) -> None:
    """ln 2 nats are what it takes to tell two equally large halves of the images apart."""
    assert warned(loss_config(), history(*[(math.log(2) * 1.001, 1)] * 5)) == []
    assert warned(loss_config(), history(*[(math.log(2) * 0.999, 1)] * 5)) == [2]


def test_it_warns_again_only_after_a_recovery(loss_config: Configured) -> None:
    gone, hovers, back = (0.1, 0), (0.8, 1), (6.0, 2)
    records = history(gone, gone, hovers, gone, gone, back, gone, gone, gone)
    assert warned(loss_config(), records) == [2, 8]


def test_without_a_pull_on_the_kl_it_says_nothing(loss_config: Configured) -> None:
    assert warned(loss_config(beta=0.0), history(*[(0.0, 0)] * 5, beta=0.0)) == []


def test_it_waits_for_the_full_beta(loss_config: Configured) -> None:
    loss = loss_config(beta=2.0)
    assert warned(loss, history(*[(0.0, 0)] * 5, beta=1.9)) == []
    assert warned(loss, history(*[(0.0, 0)] * 5, beta=2.0)) == [2]
    float32 = history(*[(0.0, 0)] * 5, beta=2.0 * (1 - 1e-7))
    assert warned(loss, float32) == [2]


@pytest.mark.parametrize("free", [{"kl_floor": 1.0}, {"free_bits": 0.25}])
def test_a_small_kl_that_costs_nothing_anyway_was_not_pulled_down(
    loss_config: Configured, free: dict[str, float]
) -> None:
    """The records have three dimensions, so that 0.25 nats each are more than ln 2."""
    loss = loss_config(**free)
    assert warned(loss, history(*[(0.1, 1)] * 5)) == []
    assert warned(loss, history(*[(5.0, 0)] * 5)) == [2], "free nats that tell nothing"


def test_the_warning_says_what_was_seen_and_what_to_turn(loss_config: Configured) -> None:
    rise = {"beta": {"shape": "linear", "length": 5.0}}
    watch = CollapseWatch(loss_config(beta=4.0, schedules=rise, free_bits=0.01))
    said = [watch.epoch(record) for record in history(*[(0.0312, 0)] * 2, beta=4.0)][-1]
    assert said is not None
    for part in (
        "epoch 2", "0.0312 nats", "0 of 3 latent dimensions", "lower loss.beta (now 4)",
        "lengthen loss.schedules.beta.length (now 5 epochs)", "loss.free_bits (now 0.01",
        "loss.kl_floor (now 0)",
    ):  # fmt: skip
        assert part in said
    assert "kl_share" not in said


def test_a_constant_beta_is_given_a_rise_and_a_controller_is_named(loss_config: Configured) -> None:
    watch = CollapseWatch(loss_config(kl_share=0.1))
    said = [watch.epoch(record) for record in history(*[(0.0, 0)] * 2)][-1]
    assert said is not None
    assert "loss.schedules.beta.shape: linear" in said and "loss.kl_share (now 0.1)" in said


epochs = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.5, 0.8, 1.0, 3.0]), st.integers(0, 2), st.sampled_from([0.5, 1.0])
    ),
    max_size=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(epochs, st.integers(0, 20))
def test_an_interruption_anywhere_changes_no_warning(
    loss_config: Configured, seen: list[tuple[float, int, float]], at: int
) -> None:
    loss = loss_config()
    records = [
        epoch_record(epoch, validation={"kl": kl}, active_units=active, beta=beta)
        for epoch, (kl, active, beta) in enumerate(seen, 1)
    ]
    whole = CollapseWatch(loss)
    said = [whole.epoch(record) for record in records]
    resumed = CollapseWatch(loss)
    for record in records[:at]:
        resumed.epoch(record)
    assert [resumed.epoch(record) for record in records[at:]] == said[at:]
    _warnings_are_apart(said, seen)


def _warnings_are_apart(said: list[str | None], seen: list[tuple[float, int, float]]) -> None:
    """Between any two the KL was over twice ln 2, with an active unit; and each had its reason."""
    at = [index for index, text in enumerate(said) if text is not None]
    for index in at:
        assert all(kl < math.log(2) or active == 0 for kl, active, _ in seen[index - 1 : index + 1])
    for one, other in pairwise(at):
        between = seen[one + 1 : other]
        assert any(kl > 2 * math.log(2) and active > 0 for kl, active, _ in between)
