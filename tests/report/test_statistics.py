from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sharpvae.report.chance import DRAWS
from sharpvae.report.scores import Goal
from sharpvae.report.statistics import (
    FID_FLOOR,
    Effect,
    Kind,
    Reading,
    contrast,
    correct,
    holm,
    interval,
    paired_effect,
    verdict_of,
)

GROUPS = 10
JUDGES = ("colour", "edges", "pixels", "random")
ROUGH = 2e-3  # the draws are even steps of probability, 1 in 10 000 each


def alone(*values: float) -> list[Reading]:
    return [Reading.alone(value) for value in values]


def without(groups: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means without one group at a time: (..., G) => the same."""
    return (groups.sum(-1, keepdims=True) - groups) / (groups.shape[-1] - 1)


def panel(seed: int, seeds: int = 3, level: float = 1.0, spread: float = 0.2) -> list[Reading]:
    """Positive distances of each judge's own unit, with replicates."""
    rng = np.random.default_rng(seed)
    logs = math.log(level) + spread * rng.standard_normal((seeds, len(JUDGES)))
    values = np.exp(logs) * 10.0 ** np.arange(len(JUDGES))
    replicates = values[..., None] * np.exp(0.01 * rng.standard_normal((*values.shape, GROUPS)))
    return [
        Reading(dict(zip(JUDGES, v, strict=True)), dict(zip(JUDGES, r, strict=True)))
        for v, r in zip(values.tolist(), replicates, strict=True)
    ]


def scaled(runs: Sequence[Reading], judge: str, factor: float) -> list[Reading]:
    def stretch(row: Any) -> dict[str, Any]:
        return {j: np.asarray(v) * (factor if j == judge else 1.0) for j, v in row.items()}

    return [Reading(stretch(run.values), stretch(run.replicates)) for run in runs]


def replicates(run: Reading, judge: str) -> NDArray[np.float64]:
    assert run.replicates is not None
    return np.asarray(run.replicates[judge], dtype=np.float64)


def ends(effect: Effect) -> tuple[float, float]:
    assert effect.low is not None and effect.high is not None
    return effect.low, effect.high


@pytest.mark.parametrize("count", [2, 3, 5, 12])
def test_seeds_alone_are_students_paired_test(count: int) -> None:
    rng = np.random.default_rng(count)
    ours, theirs = rng.normal(20, 2, count), rng.normal(21, 2, count)
    effect = paired_effect(alone(*ours), alone(*theirs), "difference")
    oracle = stats.ttest_rel(ours, theirs)
    assert effect.estimate == pytest.approx(np.mean(ours - theirs))
    half = oracle.confidence_interval().high - effect.estimate
    assert ends(effect) == pytest.approx((effect.estimate - half, effect.estimate + half), 5e-3)
    assert effect.p == pytest.approx(oracle.pvalue, abs=ROUGH)
    assert effect.sources == ("seeds",)


def test_a_ratio_is_compared_on_the_log_scale() -> None:
    ours, theirs = [5.2, 7.5, 11.1], [14.6, 20.5, 30.7]
    effect = paired_effect(alone(*ours), alone(*theirs), "ratio")
    oracle = stats.ttest_rel(np.log(ours), np.log(theirs)).confidence_interval()
    assert effect.estimate == pytest.approx(stats.gmean(ours) / stats.gmean(theirs))
    assert ends(effect) == pytest.approx((math.exp(oracle.low), math.exp(oracle.high)), ROUGH)


@pytest.mark.parametrize("groups", [4, GROUPS])
def test_images_alone_are_students_interval_over_groups(groups: int) -> None:
    # The score is a mean over images, so pseudo-values are the groups' own means.
    of_group = np.random.default_rng(1).normal(3, 1, groups)
    run = Reading.alone(float(of_group.mean()), without(of_group))
    still = Reading.alone(0.0, np.zeros(groups))
    effect = paired_effect([run], [still], "difference")
    low, high = stats.t.interval(0.95, groups - 1, of_group.mean(), stats.sem(of_group))
    assert ends(effect) == pytest.approx((low, high), ROUGH)
    assert effect.seeds == 1 and effect.sources == ("images",)


def test_judges_alone_are_a_normal_interval_over_judges() -> None:
    ours = dict(zip(JUDGES, (1.0, 30.0, 200.0, 2.0), strict=True))
    theirs = dict(zip(JUDGES, (4.0, 70.0, 900.0, 9.0), strict=True))
    effect = paired_effect([Reading(ours)], [Reading(theirs)], "ratio")
    logs = [math.log(ours[j] / theirs[j]) for j in JUDGES]
    low, high = stats.norm.interval(0.95, np.mean(logs), stats.sem(logs))
    assert ends(effect) == pytest.approx((math.exp(low), math.exp(high)), ROUGH)
    assert effect.sources == ("judges",)


def test_several_sources_add_up_as_independent_errors() -> None:
    ours, theirs = panel(1, level=0.8), panel(2)
    effect = paired_effect(ours, theirs, "ratio")
    assert effect.sources == ("seeds", "judges", "images")
    rng = np.random.default_rng(9)
    errors = np.zeros(300_000)
    for part in effect.parts:
        freedom = min(part.freedom, 1e9)  # numpy draws nothing from an infinite one
        errors += part.error * rng.standard_t(freedom, errors.size)
    half = math.log(ends(effect)[1] / effect.estimate)
    assert half == pytest.approx(np.quantile(np.abs(errors), 0.95), rel=0.03)


def test_standard_errors_by_plain_loops() -> None:
    ours, theirs = panel(1, level=0.8), panel(2)
    log: dict[tuple[int, str], float] = {}
    pseudo: dict[tuple[int, int], float] = dict.fromkeys(
        itertools.product(range(3), range(GROUPS)), 0.0
    )
    for seed, judge in itertools.product(range(3), JUDGES):
        log[seed, judge] = math.log(ours[seed].values[judge] / theirs[seed].values[judge])
        for g in range(GROUPS):
            mine, other = (replicates(run[seed], judge)[g] for run in (ours, theirs))
            rest = math.log(mine / other)
            pseudo[seed, g] += (GROUPS * log[seed, judge] - (GROUPS - 1) * rest) / len(JUDGES)
    by_seed = [np.mean([log[s, j] for j in JUDGES]) for s in range(3)]
    by_judge = [np.mean([log[s, j] for s in range(3)]) for j in JUDGES]
    by_group = [np.mean([pseudo[s, g] for s in range(3)]) for g in range(GROUPS)]
    middle = np.mean(by_group)
    own = 0.0
    for s, g in pseudo:
        of_seed = np.mean([pseudo[s, k] for k in range(GROUPS)])
        own += (pseudo[s, g] - of_seed - by_group[g] + middle) ** 2 / (2 * (GROUPS - 1))
    images = max(stats.sem(by_group) ** 2 - own / (3 * GROUPS), 0)
    parts = {p.source: p for p in paired_effect(ours, theirs, "ratio").parts}
    assert parts["seeds"].error == pytest.approx(stats.sem(by_seed))
    assert parts["judges"].error == pytest.approx(stats.sem(by_judge))
    assert parts["images"].error == pytest.approx(math.sqrt(images))
    assert [parts[name].freedom for name in ("seeds", "judges", "images")] == [2, math.inf, 9]


def test_chance_of_shared_images_is_counted_in_full_and_that_of_samples_once() -> None:
    rng = np.random.default_rng(4)
    shared = rng.standard_normal(GROUPS)
    still = [Reading.alone(0.0, np.zeros(GROUPS))] * 4
    same = [Reading.alone(float(shared.mean()), without(shared))] * 4
    images = paired_effect(same, still, "difference").parts[-1]
    assert images.error == pytest.approx(stats.sem(shared))
    # Opposite noise in pairs of seeds: no error is shared at all.
    opposite = [
        Reading.alone(0.0, without(sign * (shared - shared.mean()))) for sign in (1, -1, 1, -1)
    ]
    assert paired_effect(opposite, still, "difference").parts[-1].error == 0


def simulated(rng: np.random.Generator, seeds: int, spread: float) -> list[Reading]:
    """Distances whose log has the mean 0 over seeds, images and this panel of judges."""
    seed, judge = rng.normal(0, spread, (seeds, 1, 1)), rng.normal(0, 0.1, (1, len(JUDGES), 1))
    judge -= judge.mean()
    mixed = rng.normal(0, 0.03, (seeds, len(JUDGES), 1))
    real = rng.normal(0, 0.02 * math.sqrt(GROUPS), (1, 1, GROUPS))
    fake = rng.normal(0, 0.03 * math.sqrt(GROUPS), (seeds, 1, GROUPS))
    logs = seed + judge + mixed + real + fake
    values, replicates = np.exp(logs.mean(-1)), np.exp(without(logs))
    return [
        Reading(dict(zip(JUDGES, v, strict=True)), dict(zip(JUDGES, r, strict=True)))
        for v, r in zip(values.tolist(), replicates, strict=True)
    ]


@pytest.mark.parametrize("seeds", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("spread", [0.1, 1.0])
def test_the_interval_covers_the_truth_as_often_as_it_says(seeds: int, spread: float) -> None:
    rng = np.random.default_rng(seeds)
    flat = dict.fromkeys(JUDGES, 1.0)
    still = [Reading(flat, {judge: np.ones(GROUPS) for judge in JUDGES})] * seeds
    runs, covered = 400, 0
    for _ in range(runs):
        # One seed tells of that seed alone: its interval is about images and judges.
        ours = simulated(rng, seeds, spread if seeds > 1 else 0.0)
        low, high = ends(paired_effect(ours, still, "ratio"))
        covered += low <= 1 <= high
    # 93 % at least, and two standard deviations of a share counted in 400 runs; more where the
    # judges, whose mean is known, make up most of the error
    assert covered / runs >= 0.93 - 0.025


@pytest.mark.parametrize("arms", [2, 4, 16])
@pytest.mark.parametrize("seeds", [2, 3])
def test_a_contrast_covers_the_truth_as_often_as_it_says(arms: int, seeds: int) -> None:
    """Of variants with unlike spread over the seeds, and a seed that moves all of them alike."""
    rng = np.random.default_rng(100 * arms + seeds)
    factors = np.resize([1.0, -1.0], arms) * 2 / arms
    spread = np.geomspace(0.1, 1.0, arms)[:, None]
    runs, covered = 300, 0
    for _ in range(runs):
        values = rng.normal(0, spread, (arms, seeds)) + rng.normal(0, 2, (1, seeds))
        terms = [
            (factor, [Reading.alone(float(value)) for value in row])
            for factor, row in zip(factors, values, strict=True)
        ]
        low, high = ends(contrast(terms, "difference"))
        covered += low <= 0 <= high
    assert covered / runs >= 0.93 - 0.03  # two standard deviations of a share of 300


def test_a_contrast_of_two_is_the_paired_effect() -> None:
    ours, theirs = panel(1, level=0.8), panel(2)
    assert contrast([(1, ours), (-1, theirs)], "ratio") == paired_effect(ours, theirs, "ratio")


def test_a_contrast_of_many_has_more_degrees_of_freedom() -> None:
    terms = [(1.0 if index % 2 else -1.0, panel(index)) for index in range(8)]
    seeds = contrast(terms, "ratio").parts[0]
    assert seeds.source == "seeds" and 4 < seeds.freedom <= 14  # 7 contrasts of 3 seeds


def test_a_contrast_needs_the_same_seeds() -> None:
    with pytest.raises(ValueError, match="the same seeds"):
        contrast([(1, alone(1, 2)), (-1, alone(1))], "difference")


def test_resampling_three_seeds_would_not_cover() -> None:
    """Why the values are not resampled: the plain percentile interval, on the same problem."""
    rng = np.random.default_rng(3)
    resamples = np.array(list(itertools.product(range(3), repeat=3)))
    covered = 0
    for _ in range(400):
        values = rng.standard_normal(3)
        low, high = np.quantile(values[resamples].mean(1), [0.025, 0.975])
        covered += low <= 0 <= high
    assert covered / 400 < 0.85


@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 6]))
@settings(max_examples=25, deadline=None)
def test_swapping_the_variants_inverts_the_ratio(seed: int, seeds: int) -> None:
    ours, theirs = panel(seed, seeds, level=0.7), panel(seed + 1, seeds)
    effect, swapped = (paired_effect(a, b, "ratio") for a, b in ((ours, theirs), (theirs, ours)))
    low, high = ends(effect)
    assert (swapped.estimate, *ends(swapped)) == pytest.approx(
        (1 / effect.estimate, 1 / high, 1 / low)
    )
    assert swapped.p == effect.p


@given(st.integers(0, 10**6), st.sampled_from(JUDGES), st.floats(1e-3, 1e3))
@settings(max_examples=25, deadline=None)
def test_a_judges_unit_does_not_matter(seed: int, judge: str, factor: float) -> None:
    ours, theirs = panel(seed, level=0.7), panel(seed + 1)
    effect = paired_effect(ours, theirs, "ratio")
    other = paired_effect(scaled(ours, judge, factor), scaled(theirs, judge, factor), "ratio")
    assert (other.estimate, *ends(other)) == pytest.approx((effect.estimate, *ends(effect)))
    assert other.p == pytest.approx(effect.p, abs=2 / DRAWS)


@given(st.permutations(range(5)))
@settings(max_examples=15, deadline=None)
def test_the_order_of_seeds_does_not_matter(order: list[int]) -> None:
    ours, theirs = panel(1, 5, level=0.7), panel(2, 5)
    effect = paired_effect(ours, theirs, "ratio")
    other = paired_effect([ours[i] for i in order], [theirs[i] for i in order], "ratio")
    assert (other.estimate, *ends(other)) == pytest.approx((effect.estimate, *ends(effect)))
    assert other.p == pytest.approx(effect.p, abs=2 / DRAWS)


def test_the_pairing_of_seeds_matters() -> None:
    # Each seed draws its own weights; what all variants owe to the seed cancels.
    ours, theirs = alone(1.0, 2.0, 4.0), alone(2.1, 4.0, 7.8)
    paired = ends(paired_effect(ours, theirs, "ratio"))
    crossed = ends(paired_effect(ours, theirs[::-1], "ratio"))
    assert crossed[1] / crossed[0] > 10 * paired[1] / paired[0]


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize(("kind", "same"), [("ratio", 1.0), ("difference", 0.0)])
def test_a_variant_does_not_differ_from_itself(seeds: int, kind: Kind, same: float) -> None:
    runs = panel(5, seeds)
    effect = paired_effect(runs, runs, kind)
    assert (effect.estimate, effect.low, effect.high, effect.p) == (same, same, same, 1)
    assert verdict_of(effect, "lower") == "no difference shown"


def test_a_judge_without_weight_is_left_out() -> None:
    ours, theirs = panel(1), panel(2)
    weights = {"colour": 2.0, "edges": 2.0, "pixels": 0.0, "random": 2.0}
    kept = [judge for judge in JUDGES if judge != "pixels"]
    fewer, others = (
        [
            Reading({j: run.values[j] for j in kept}, {j: replicates(run, j) for j in kept})
            for run in runs
        ]
        for runs in (ours, theirs)
    )
    effect = paired_effect(ours, theirs, "ratio", weights=weights)
    assert effect == paired_effect(fewer, others, "ratio")
    assert effect.judges == ("colour", "edges", "random")


def test_a_judge_of_little_weight_changes_little() -> None:
    ours, theirs = panel(1), panel(2)
    weights = {"colour": 1.0, "edges": 1.0, "pixels": 0.0, "random": 1.0}
    effect = paired_effect(ours, theirs, "ratio", weights=weights)
    near = paired_effect(ours, theirs, "ratio", weights=weights | {"pixels": 1e-6})
    assert near.estimate == pytest.approx(effect.estimate, rel=1e-4)
    assert ends(near) == pytest.approx(ends(effect), rel=1e-3)


@given(st.integers(0, 10**6), st.sampled_from([0.001, 0.01, 0.05, 0.3, 0.9]))
@settings(max_examples=40, deadline=None)
def test_p_values_invert_the_interval(seed: int, alpha: float) -> None:
    effect = paired_effect(panel(seed, level=0.6), panel(seed + 1), "ratio")
    low, high = effect.interval(alpha)
    assert low is not None and high is not None and effect.p is not None
    assert (effect.p <= alpha) == (not low <= 1 <= high)


def test_an_interval_beyond_the_draws_is_infinite() -> None:
    effect = paired_effect(panel(1, level=0.6), panel(2), "ratio")
    assert effect.interval(0.5 / DRAWS) == (0, math.inf)
    assert effect.interval(1.0)[0] == pytest.approx(effect.estimate, rel=1e-3)


def test_nothing_measured_gives_no_interval() -> None:
    effect = paired_effect(alone(3.0), alone(6.0), "ratio")
    assert effect.estimate == pytest.approx(0.5)
    assert (effect.low, effect.high, effect.p) == (None, None, None)
    assert effect.interval(0.01) == (None, None)
    assert verdict_of(effect, "lower") == "no difference shown"


@pytest.mark.parametrize(
    ("goal", "ours", "expected"),
    [
        ("lower", (1.0, 1.1, 1.05), "better"),
        ("lower", (4.0, 4.1, 4.05), "worse"),
        ("higher", (1.0, 1.1, 1.05), "worse"),
        ("higher", (4.0, 4.1, 4.05), "better"),
        ("lower", (1.0, 9.0, 2.0), "no difference shown"),
        ("one", (1.2, 1.21, 0.79), "better"),  # 2 is at 1 from the goal
        ("one", (3.5, 3.6, 3.7), "worse"),
        ("one", (0.0, 0.01, -0.02), "no difference shown"),  # as far away on the other side
        ("zero", (-0.5, 0.5, -0.4), "better"),
        ("zero", (-4.0, -4.1, -4.2), "worse"),
    ],
)
def test_verdicts(goal: Goal, ours: tuple[float, ...], expected: str) -> None:
    effect = paired_effect(alone(*ours), alone(2.0, 2.01, 1.98), "difference", goal=goal)
    assert verdict_of(effect, goal) == expected


def test_distances_from_a_goal_are_averaged_over_seeds() -> None:
    effect = paired_effect(alone(0.5, 1.5), alone(1.1, 1.1), "difference", goal="one")
    assert effect.estimate == pytest.approx(0.5 - 0.1)
    mirrored = paired_effect(alone(1.5, 0.5), alone(0.9, 1.1), "difference", goal="one")
    assert mirrored.estimate == pytest.approx(effect.estimate)


def test_images_move_a_distance_from_the_goal_by_its_slope() -> None:
    of_group = np.random.default_rng(1).normal(0.7, 0.1, GROUPS)
    still = Reading.alone(1.3, np.full(GROUPS, 1.3))
    run = Reading.alone(float(of_group.mean()), without(of_group))
    effect = paired_effect([run], [still], "difference", goal="one")
    assert effect.estimate == pytest.approx(1 - of_group.mean() - 0.3)
    assert effect.parts[-1].error == pytest.approx(stats.sem(of_group))
    at_goal = Reading.alone(1.0, without(of_group - of_group.mean() + 1))
    effect = paired_effect([at_goal], [still], "difference", goal="one")
    assert effect.parts[-1].error == pytest.approx(stats.sem(of_group))


@pytest.mark.parametrize(("made", "asked"), [("none", "one"), ("one", "lower"), ("zero", "one")])
def test_a_verdict_needs_the_effect_of_its_goal(made: Goal, asked: Goal) -> None:
    effect = paired_effect(alone(1, 2), alone(1, 3), "difference", goal=made)
    with pytest.raises(ValueError, match="was not made for the goal"):
        verdict_of(effect, asked)
    with pytest.raises(ValueError, match="no value of this score is better"):
        verdict_of(effect, "none")


def holm_by_hand(p_values: Sequence[float]) -> list[float]:
    """Step down: the smallest p is multiplied by how many there are, the next by one less."""
    left = list(range(len(p_values)))
    adjusted, so_far = [0.0] * len(p_values), 0.0
    while left:
        smallest = min(left, key=lambda i: p_values[i])
        so_far = max(so_far, min(1.0, len(left) * p_values[smallest]))
        adjusted[smallest] = so_far
        left.remove(smallest)
    return adjusted


PROBABILITIES = st.lists(st.floats(0, 1), max_size=12)


def test_holm_on_a_worked_example() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []


@given(PROBABILITIES)
def test_holm_is_the_step_down_by_hand(p_values: list[float]) -> None:
    assert holm(p_values) == pytest.approx(holm_by_hand(p_values))


@given(PROBABILITIES, st.randoms())
def test_holm_properties(p_values: list[float], random: Any) -> None:
    adjusted = holm(p_values)
    for p, q in zip(p_values, adjusted, strict=True):
        assert p <= q <= 1
    for i, j in itertools.combinations(range(len(p_values)), 2):
        if p_values[i] <= p_values[j]:
            assert adjusted[i] <= adjusted[j]
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [adjusted[i] for i in order]
    with_another = holm([*p_values, 1.0])[:-1]
    assert all(one <= other for one, other in zip(adjusted, with_another, strict=True))


@pytest.mark.parametrize("wrong", [math.nan, -0.1, 1.1])
def test_holm_refuses_what_is_no_probability(wrong: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, wrong])


@given(st.lists(st.floats(0.3, 1.0), min_size=1, max_size=6), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_adjusted_intervals_agree_with_adjusted_p_values(levels: list[float], seed: int) -> None:
    effects = [
        paired_effect(panel(seed + i, level=level), panel(seed + 100 + i), "ratio")
        for i, level in enumerate(levels)
    ]
    corrected = correct(effects)
    assert [e.adjusted_p for e in corrected] == holm([e.p for e in effects if e.p is not None])
    for effect in corrected:
        assert effect.adjusted_p is not None and effect.adjusted_low is not None
        assert effect.adjusted_high is not None
        shown = not effect.adjusted_low <= 1 <= effect.adjusted_high
        assert shown == (effect.adjusted_p <= 0.05)
        assert shown == (verdict_of(effect, "lower") != "no difference shown")
        low, high = ends(effect)
        rounding = 1 + 1e-12
        assert effect.adjusted_low <= low * rounding
        assert effect.adjusted_high * rounding >= high


def test_a_finding_among_many_must_be_stronger() -> None:
    found = paired_effect(alone(1.0, 1.2, 1.0), alone(2.0, 2.9, 2.4), "ratio")
    assert verdict_of(found, "lower") == "better"
    idle = paired_effect(alone(1.0, 2.0, 1.5), alone(1.4, 1.1, 1.9), "ratio")
    unmeasured = paired_effect(alone(1.0), alone(2.0), "ratio")
    many = correct([found, *[idle] * 19, unmeasured])
    assert verdict_of(many[0], "lower") == "no difference shown"
    assert many[-1] == unmeasured
    assert correct([found])[0].adjusted_p == found.p


@pytest.mark.parametrize("count", [2, 3, 20])
def test_interval_of_a_variant(count: int) -> None:
    values = np.random.default_rng(count).lognormal(2, 0.3, count)
    found = interval(alone(*values), "difference")
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    assert found.half_width == pytest.approx((high - low) / 2, 5e-3)
    assert found.centre == pytest.approx(values.mean())
    logs = np.log(values)
    low, high = stats.t.interval(0.95, count - 1, logs.mean(), stats.sem(logs))
    found = interval(alone(*values), "ratio")
    half = math.log(found.high / found.centre) if found.high else 0
    assert half == pytest.approx((high - low) / 2, 5e-3)
    assert found.low == pytest.approx(found.centre**2 / (found.high or 0))
    assert found.centre == pytest.approx(stats.gmean(values))


def test_skewed_distances_keep_a_positive_interval() -> None:
    found = interval(alone(4.0, 6.0, 16.4), "ratio")  # Student's would be 8.8 +- 16.5
    assert found.low is not None and found.low > 0


def test_units_of_judges_do_not_widen_a_variants_interval() -> None:
    runs = panel(1)
    found = interval(runs, "ratio")
    other = interval(scaled(runs, "edges", 1000.0), "ratio")
    assert found.sources == ("seeds", "images")
    assert other.centre == pytest.approx(found.centre * 1000 ** (1 / len(JUDGES)))
    assert found.high and other.high
    assert other.high / other.centre == pytest.approx(found.high / found.centre)
    means = [geometric_mean(run.values) for run in runs]
    assert found.centre == pytest.approx(stats.gmean(means))


def test_one_seed_has_an_interval_over_images_only() -> None:
    assert interval(panel(1, 1), "ratio").sources == ("images",)
    bare = interval(alone(3.0), "ratio")
    assert (bare.low, bare.high, bare.half_width, bare.sources) == (None, None, None, ())


def test_a_half_width_without_end_is_none() -> None:
    found = interval(alone(1e-200, 1e200), "ratio")
    assert found.high == math.inf and found.half_width is None


def geometric_mean(
    values: dict[str, float], weights: dict[str, float] | None = None, floor: float = 0.0
) -> float:
    """The centre of one run's ratios."""
    return interval([Reading(values)], "ratio", weights=weights, floor=floor).centre


def test_geometric_mean_of_a_panel() -> None:
    values = {"a": 2.0, "b": 8.0, "c": 1000.0}
    assert geometric_mean(values) == pytest.approx(stats.gmean([2, 8, 1000]))
    assert geometric_mean(values, {"a": 1, "b": 1, "c": 0}) == pytest.approx(4)
    assert geometric_mean(values, {"a": 3, "b": 1, "c": 0}) == pytest.approx((8 * 8) ** 0.25)
    assert geometric_mean({"a": 5.0, "b": 0.0}, {"a": 1, "b": 0}) == pytest.approx(5)


def test_a_floor_takes_the_place_of_rounded_zeros() -> None:
    for rounded in (0.0, -0.5 * FID_FLOOR, 0.5 * FID_FLOOR, FID_FLOOR):
        mean = geometric_mean({"a": rounded, "b": 10.0}, floor=FID_FLOOR)
        assert mean == pytest.approx(math.sqrt(10 * FID_FLOOR))
    both = paired_effect(alone(0.0, 0.0), alone(-1e-5, 0.0), "ratio", floor=FID_FLOOR)
    assert both.estimate == 1


@pytest.mark.parametrize("wrong", [0.0, -1.0, math.nan, math.inf])
def test_a_geometric_mean_refuses_what_is_no_distance(wrong: float) -> None:
    with pytest.raises(ValueError, match=r"positive values|not finite"):
        geometric_mean({"a": 1.0, "b": wrong})
    if wrong:
        with pytest.raises(ValueError, match=r"positive values|not finite"):
            geometric_mean({"a": 1.0, "b": wrong}, floor=FID_FLOOR)


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ({"a": 1.0}, "no weight for the judges b"),
        ({"a": 1.0, "b": -1.0}, "not negative"),
        ({"a": 1.0, "b": math.nan}, "finite"),
        ({"a": 0.0, "b": 0.0}, "no judge has a positive weight"),
    ],
)
def test_wrong_weights_are_told(weights: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        geometric_mean({"a": 1.0, "b": 2.0}, weights)


def _runs(*rows: Sequence[float] | None, value: float = 1.0) -> list[Reading]:
    return [Reading.alone(value, row) for row in rows]


TEN = [1.0] * GROUPS


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        (alone(1, 2), alone(1), "2 seeds cannot be paired with 1"),
        ([], [], "no seed"),
        (alone(1), [Reading({"edges": 1.0})], "same judges"),
        ([Reading({})], [Reading({})], "no judge"),
        (alone(math.nan), alone(1), "not finite"),
        (_runs([*TEN[1:], math.inf]), _runs(TEN), "not finite"),
        (_runs([*TEN[1:], -1.0]), _runs(TEN), "positive values"),
        (alone(0.0), alone(1), "positive values"),
        (_runs(TEN), _runs(None), "same groups"),
        (_runs(TEN), _runs(TEN[1:]), "same groups"),
        (_runs(TEN, None), _runs(TEN, TEN), "some runs have replicates"),
        (_runs(TEN, TEN[1:]), _runs(TEN, TEN), "same 2 or more groups"),
        (_runs([1.0]), _runs([1.0]), "same 2 or more groups"),
        ([Reading({"a": 1.0}, {})], [Reading({"a": 1.0}, {})], "a row per judge"),
    ],
)
def test_what_cannot_be_compared_is_told(
    ours: list[Reading], theirs: list[Reading], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        paired_effect(ours, theirs, "ratio")


def test_a_distance_from_a_goal_is_no_ratio() -> None:
    with pytest.raises(ValueError, match="as a difference"):
        paired_effect(alone(1.0), alone(2.0), "ratio", goal="one")
