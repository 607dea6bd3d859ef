"""Shapley values, main effects and interactions: against their definitions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sharpvae.proof.effects import (
    MEASURE,
    Results,
    average_weights,
    effects_on,
    shapley_weights,
    size,
    verdict,
)
from sharpvae.proof.plan import Plan, fraction
from sharpvae.report.statistics import Reading
from tests.proof.test_plan import plan

JUDGES = ("one", "two", "three")


def all_coalitions(count: int) -> NDArray[np.bool_]:
    return np.array(list(itertools.product([False, True], repeat=count)))


def by_definition(value: Callable[[frozenset[int]], float], count: int) -> list[float]:
    """Shapley 1953: what a factor adds, averaged over all orders in which they may come."""
    shares = []
    for factor in range(count):
        rest = [other for other in range(count) if other != factor]
        shares.append(math.fsum(
            (value(frozenset(chosen) | {factor}) - value(frozenset(chosen)))
            / (count * comb(count - 1, size))
            for size in range(count)
            for chosen in itertools.combinations(rest, size)
        ))  # fmt: skip
    return shares


@pytest.mark.parametrize("count", [1, 2, 3, 4, 6])
def test_shapley_values_of_all_coalitions_are_those_of_the_definition(count: int) -> None:
    on = all_coalitions(count)
    values = np.random.default_rng(count).normal(size=len(on))
    by_set = {frozenset(np.flatnonzero(row).tolist()): v for row, v in zip(on, values, strict=True)}
    expected = by_definition(by_set.__getitem__, count)
    assert shapley_weights(on) @ values == pytest.approx(expected)


def of_pairs(on: NDArray[np.bool_], rng: np.random.Generator) -> tuple[NDArray[np.float64], ...]:
    """Values to which no three factors contribute jointly, and their exact Shapley values."""
    count = on.shape[1]
    single, pairs = rng.normal(size=count), np.triu(rng.normal(size=(count, count)), 1)
    x = on.astype(float)
    values = 3.0 + x @ single + np.einsum("ni,ij,nj->n", x, pairs, x)
    return values, single + 0.5 * (pairs.sum(0) + pairs.sum(1))


def of_plan(count: int) -> NDArray[np.bool_]:
    """The arms of an ablation: one factor on, one off, and the fraction."""
    eye = np.eye(count, dtype=bool)
    return np.unique(np.vstack([eye, ~eye, fraction(count)]), axis=0)


@pytest.mark.parametrize("count", [4, 5, 8, 10, 16])
def test_arms_of_an_ablation_suffice_where_no_three_factors_work_together(count: int) -> None:
    on = of_plan(count)
    values, expected = of_pairs(on, np.random.default_rng(count))
    assert shapley_weights(on) @ values == pytest.approx(expected)
    design = fraction(count)
    values, expected = of_pairs(design, np.random.default_rng(count))
    assert average_weights(design) @ values == pytest.approx(expected)


@given(st.integers(2, 12), st.integers(0, 10**6))
def test_shares_add_up_to_the_whole_whatever_the_values(count: int, seed: int) -> None:
    on = of_plan(count)
    values = np.random.default_rng(seed).normal(size=len(on))
    whole = values[on.all(axis=1)][0] - values[~on.any(axis=1)][0]
    assert (shapley_weights(on) @ values).sum() == pytest.approx(whole)
    assert shapley_weights(on).sum(axis=1) == pytest.approx(np.zeros(count), abs=1e-9)


def test_what_cannot_be_told_apart_is_told() -> None:
    with pytest.raises(ValueError, match="both ends"):
        shapley_weights(of_plan(4)[1:])
    ends = np.array([[False] * 3, [True] * 3])
    with pytest.raises(ValueError, match="too few arms"):
        shapley_weights(ends)
    with pytest.raises(ValueError, match="too few arms"):
        average_weights(ends)


MADE = plan()
NAMES = list(MADE.factors)


def results(
    log_fid: Callable[[frozenset[str]], float], spread: float, seed: int = 0, without: str = "",
    made: Plan = MADE,
) -> Results:  # fmt: skip
    """Arms whose log FID is as given, with a spread over the seeds and a shift of each seed."""
    rng = np.random.default_rng(seed)
    shift = rng.normal(0, 0.5, len(made.ablation.seeds))
    readings = {}
    for name, arm in made.arms.items():
        logs = log_fid(arm.on) + shift + rng.normal(0, spread, len(shift))
        fid = [Reading({judge: math.exp(v) for judge in JUDGES}) for v in logs]
        readings[name] = {"fid": fid, "seconds": [Reading.alone(10.0) for _ in shift]}
    readings.pop(without, None)
    weights = dict.fromkeys(JUDGES, 1.0)
    return Results(made, readings, weights, dict.fromkeys(readings, 26), {})


def test_effects_are_what_was_planted() -> None:
    gain = {"network": -0.5, "loss": -2.0, "training": 0.3, "prior": 0.0}

    def planted(on: frozenset[str]) -> float:
        return 6.0 + sum(gain[name] for name in on) - 0.8 * ({"network", "loss"} <= on)

    found = effects_on(results(planted, 0.0), MEASURE["fid"])
    assert found.missing == ""
    assert found.whole is not None and size(found.whole) == pytest.approx(-3.0)
    expected = {"network": -0.9, "loss": -2.4, "training": 0.3, "prior": 0.0}
    for name, effects in found.factors.items():
        share, alone, last, average = (size(e) for e in effects if e is not None)
        assert share == pytest.approx(expected[name], abs=1e-9)
        assert average == pytest.approx(expected[name], abs=1e-9)
        assert alone == pytest.approx(gain[name], abs=1e-9)
        both = -0.8 if name in ("network", "loss") else 0.0
        assert last == pytest.approx(gain[name] + both, abs=1e-9)
    strongest = found.interactions[0]
    assert set(strongest.pairs[0]) == {"network", "loss"}  # the stronger two of an aliased set
    assert size(strongest.effect) == pytest.approx(-0.8)


def test_a_large_effect_is_shown_and_a_small_one_is_not() -> None:
    def planted(on: frozenset[str]) -> float:
        return 6.0 - 2.0 * ("loss" in on) - 0.01 * ("prior" in on)

    found = effects_on(results(planted, 0.1), MEASURE["fid"])
    shown = {
        name: verdict(own.share, MEASURE["fid"]) for name, own in found.factors.items() if own.share
    }
    assert shown["loss"] == "better"
    assert shown["prior"] == "no difference shown"


def test_variants_without_a_difference_show_none_in_nineteen_of_twenty() -> None:
    """Nothing is planted: of all comparisons of a page, corrected by Holm, none is shown."""
    runs = 60
    wrong = 0
    for seed in range(runs):
        found = effects_on(results(lambda on: 5.0, 0.3, seed), MEASURE["fid"])
        effects = [e for own in found.factors.values() for e in own if e is not None]
        wrong += any(verdict(e, MEASURE["fid"]) != "no difference shown" for e in effects)
    assert wrong / runs <= 0.05 + 0.056  # two standard deviations of a share of 60


def test_a_missing_arm_leaves_out_what_needs_it_and_says_so() -> None:
    found = effects_on(
        results(lambda on: -float(len(on)), 0.0, without="plus-loss"), MEASURE["fid"]
    )
    assert "without plus-loss" in found.missing
    assert found.factors["loss"].alone is None
    assert found.factors["prior"].alone is not None
    for effects in found.factors.values():
        assert effects.share is not None and size(effects.share) == pytest.approx(-1.0)


def test_a_missing_end_leaves_no_share() -> None:
    found = effects_on(results(lambda on: -float(len(on)), 0.0, without="sharp"), MEASURE["fid"])
    assert found.whole is None
    assert "no share of the whole: both ends are needed" in found.missing
    assert all(own.share is None for own in found.factors.values())


def test_a_score_that_no_arm_has_leaves_nothing() -> None:
    found = effects_on(results(lambda on: 1.0, 0.0), MEASURE["blur_px"])
    assert found.whole is None and not found.interactions
    assert all(not any(own) for own in found.factors.values())
