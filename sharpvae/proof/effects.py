"""What each factor brings: effects alone, at the end, on average, and its share of the whole.

Every effect is a weighted sum of the arms' scores, on the log scale for distances and seconds, so
that its interval comes from `sharpvae.report.statistics.contrast` as that of two variants does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.errors import UserError
from sharpvae.proof.plan import Plan, aliases
from sharpvae.proof.readings import read_arm
from sharpvae.report.numerals import fixed, short
from sharpvae.report.statistics import (
    ALPHA,
    FID_FLOOR,
    Effect,
    Interval,
    Kind,
    Reading,
    contrast,
    correct,
    interval,
)

Array = NDArray[np.float64]
Terms = list[tuple[float, str]]  # weight and arm
TIMES = "\N{MULTIPLICATION SIGN}"
ENDLESS = 1000  # an interval up to a factor beyond says nothing

KINDS = {
    "share": "share of the whole",
    "alone": "added to the first",
    "last": "taken from the second",
    "average": "on average",
}


class Measure(NamedTuple):
    """A score that effects are told of."""

    key: str
    label: str
    ratio: bool  # told as factors, compared on the log scale
    better: int  # 1: higher, -1: lower, 0: neither


MEASURES = (
    Measure("fid", "FID", True, -1),
    Measure("blur_px", "blur, px", False, -1),
    Measure("coverage", "coverage", False, 1),
    Measure("psnr", "PSNR, dB", False, 1),
    Measure("seconds", "seconds of training", True, 0),
)
MEASURE = {measure.key: measure for measure in MEASURES}


@dataclass(frozen=True)
class Results:
    """The scores of the arms that ran, one reading a seed."""

    plan: Plan
    readings: Mapping[str, Mapping[str, list[Reading]]]  # arm -> measure -> readings
    weights: Mapping[str, float]  # of the judges
    updates: Mapping[str, int]  # arm -> updates, the mean over its seeds
    reasons: Mapping[str, Mapping[str, str]]  # arm -> measure -> why there is none

    def has(self, arm: str, key: str) -> bool:
        """Whether an arm ran and has this score."""
        return key in self.readings.get(arm, {})

    def level(self, arm: str, key: str) -> Interval:
        """The score of an arm over its seeds, with the interval over seeds and images."""
        kind: Kind = "ratio" if MEASURE[key].ratio else "difference"
        weights = self.weights if key == "fid" else None
        return interval(self.readings[arm][key], kind, weights=weights, floor=FID_FLOOR)

    def effect(self, terms: Sequence[tuple[float, str]], key: str) -> Effect:
        """The weighted sum of the arms' scores."""
        kind: Kind = "ratio" if MEASURE[key].ratio else "difference"
        readings = [(weight, self.readings[arm][key]) for weight, arm in terms]
        return contrast(
            readings, kind, weights=self.weights if key == "fid" else None, floor=FID_FLOOR,
        )  # fmt: skip


def gather(plan: Plan, place: Callable[[str], Path], arms: Sequence[str]) -> Results:
    """Read the scores of `arms`, each below `place(arm)`.

    Raises:
        UserError: a file is missing or broken; the arms were scored by different judges.
    """
    keys, seeds = [measure.key for measure in MEASURES], plan.ablation.seeds
    found = {arm: read_arm(place(arm), arm, seeds, keys) for arm in arms}
    panels = [own.weights for own in found.values()]
    if any(weights != panels[0] for weights in panels):
        expected = "one panel of judges for all arms"
        raise UserError("models/reference", expected, "several", "run the ablation again")
    return Results(
        plan,
        {arm: own.scores for arm, own in found.items()},
        panels[0] if panels else {},
        {arm: own.updates for arm, own in found.items()},
        {arm: own.reasons for arm, own in found.items()},
    )


def coalitions(
    results: Results, key: str, arms: Sequence[str]
) -> tuple[list[str], NDArray[np.bool_]]:
    """Those of `arms` that have a score, and which factors each has on: (N, K)."""
    kept = [arm for arm in arms if results.has(arm, key)]
    factors = list(results.plan.factors)
    on = [[factor in results.plan.arms[arm].on for factor in factors] for arm in kept]
    return kept, np.array(on, dtype=bool).reshape(len(kept), len(factors))


def shapley_weights(on: NDArray[np.bool_]) -> Array:
    """The Shapley value of each factor as a weighted sum of the coalitions' values.

    Weighted least squares with the Shapley kernel (Lundberg & Lee 2017, theorem 2), each size of
    coalition with the weight that all coalitions of that size have together, and the sum of the
    values tied to the difference of both ends. Exact where every coalition is there, and, where
    the opposite of each is there, for values to which no three factors contribute jointly.

    Args:
        on: (N, K), with a row of nothing and a row of everything.

    Returns:
        (K, N)

    Raises:
        ValueError: an end is missing, or there are too few coalitions to tell the factors apart.
    """
    count, sizes = on.shape[1], on.sum(axis=1)
    if not ((sizes == 0).any() and (sizes == count).any()):
        raise ValueError("both ends are needed")
    inner = (sizes > 0) & (sizes < count)
    whole = np.zeros(len(on))
    whole[np.argmax(sizes == count)], first = 1.0, np.argmax(sizes == 0)
    whole[first] = -1.0
    if count == 1:
        return whole[None]
    mass = {size: (count - 1) / (size * (count - size)) for size in range(1, count)}
    weight = np.array([mass[size] / (sizes == size).sum() for size in sizes[inner]])
    rows = on[inner].astype(float)
    # The last value is the whole less the others.
    known = rows[:, :-1] - rows[:, -1:]
    values = np.zeros((inner.sum(), len(on)))
    values[np.arange(len(values)), np.flatnonzero(inner)] = 1.0
    values[:, first] -= 1.0
    values -= rows[:, -1:] * whole
    normal = known.T @ (weight[:, None] * known)
    if np.linalg.matrix_rank(normal) < count - 1:
        raise ValueError("too few arms to tell the factors apart")
    others = np.linalg.solve(normal, known.T @ (weight[:, None] * values))
    return np.vstack([others, whole - others.sum(axis=0)])


def average_weights(on: NDArray[np.bool_]) -> Array:
    """The effect of switching each factor, averaged over the runs of a design: (K, N).

    Least squares on the factors alone; of a whole design, the mean with a factor on less the mean
    with it off.

    Raises:
        ValueError: too few runs to tell the factors apart.
    """
    columns = np.hstack([np.ones((len(on), 1)), on])
    if np.linalg.matrix_rank(columns) < columns.shape[1]:
        raise ValueError("too few arms to tell the factors apart")
    return np.asarray(np.linalg.pinv(columns)[1:])


class FactorEffects(NamedTuple):
    """What one factor brings to one score; None where arms are missing."""

    share: Effect | None
    alone: Effect | None
    last: Effect | None
    average: Effect | None


class Interaction(NamedTuple):
    """What two factors bring together beyond what they bring apart."""

    pairs: list[tuple[str, str]]  # those the design cannot separate, the likeliest first
    effect: Effect  # of both, beyond the sum of each


@dataclass(frozen=True)
class Effects:
    """All effects on one score, corrected by Holm for their number."""

    measure: Measure
    whole: Effect | None  # from one end to the other
    factors: dict[str, FactorEffects]
    interactions: list[Interaction]  # the largest first
    missing: str  # why something is not there; "" where all is


def effects_on(results: Results, measure: Measure) -> Effects:
    """What the factors bring to one score."""
    plan, key = results.plan, measure.key
    factors, everything = list(plan.factors), frozenset(plan.factors)
    missing: list[str] = []

    def step(before: frozenset[str], after: frozenset[str]) -> Effect | None:
        terms = [(1.0, plan.with_factors(after).name), (-1.0, plan.with_factors(before).name)]
        if not all(results.has(arm, key) for _, arm in terms):
            return None
        return results.effect(terms, key)

    found: dict[tuple[str, str], Effect | None] = {("", "whole"): step(frozenset(), everything)}
    for kind, arms, weights in (
        ("share", list(plan.arms), shapley_weights), ("average", plan.mixed, average_weights),
    ):  # fmt: skip
        names, on = coalitions(results, key, arms)
        if kind == "share":
            names, on = _closed(names, on)
        try:
            rows = weights(on)
        except ValueError as error:
            missing.append(f"no {KINDS[kind]}: {error}")
            continue
        for factor, row in zip(factors, rows, strict=True):
            found[factor, kind] = results.effect(_terms(row, names), key)
    for factor in factors:
        found[factor, "alone"] = step(frozenset(), frozenset({factor}))
        found[factor, "last"] = step(everything - {factor}, everything)
    pairs = _interactions(results, measure, {f: found.get((f, "average")) for f in factors})
    known = {place: effect for place, effect in found.items() if effect is not None}
    corrected = correct([*known.values(), *(pair.effect for pair in pairs)])
    told = dict(zip(known, corrected, strict=False))
    if gone := [arm for arm in plan.arms if not results.has(arm, key)]:
        missing.append(f"without {', '.join(gone)}")
    by_factor = {
        factor: FactorEffects(*(told.get((factor, kind)) for kind in FactorEffects._fields))
        for factor in factors
    }
    return Effects(
        measure,
        told.get(("", "whole")),
        by_factor,
        [pair._replace(effect=e) for pair, e in zip(pairs, corrected[len(known):], strict=True)],
        "; ".join(missing),
    )  # fmt: skip


def _terms(row: Array, names: Sequence[str]) -> Terms:
    return [(float(w), name) for w, name in zip(row, names, strict=True) if abs(w) > 1e-12]


def _closed(names: list[str], on: NDArray[np.bool_]) -> tuple[list[str], NDArray[np.bool_]]:
    """Without the coalitions whose opposite is missing."""
    there = {row.tobytes() for row in on}
    kept = [index for index, row in enumerate(on) if (~row).tobytes() in there]
    return [names[index] for index in kept], on[kept]


def _interactions(
    results: Results, measure: Measure, averages: Mapping[str, Effect | None]
) -> list[Interaction]:
    """Of the factorial design, if all of its arms have the score; the largest first."""
    names, on = coalitions(results, measure.key, results.plan.mixed)
    if len(names) < len(results.plan.mixed):
        return []
    factors, found = list(results.plan.factors), []

    def weight(factor: int) -> float:
        effect = averages[factors[factor]]
        return abs(size(effect)) if effect is not None else 0.0

    for pairs, column in aliases(on):
        # In full: on together, less each alone, is four times the mean with the sign of a product.
        row = 4 * column / len(column)
        effect = results.effect(_terms(row, names), measure.key)
        likely = sorted(pairs, key=lambda pair: -weight(pair[0]) * weight(pair[1]))
        found.append(Interaction([(factors[a], factors[b]) for a, b in likely], effect))
    return sorted(found, key=lambda pair: -abs(size(pair.effect)))


def size(effect: Effect) -> float:
    """An effect on the scale on which effects add up; 0 is none."""
    return math.log(effect.estimate) if effect.kind == "ratio" else effect.estimate


def verdict(effect: Effect, measure: Measure) -> str:
    """Whether a score is shown to have become better, after Holm's correction."""
    p = effect.p if effect.adjusted_p is None else effect.adjusted_p
    if p is None or p > ALPHA:
        return "no difference shown"
    if measure.better == 0:
        return "more" if size(effect) > 0 else "less"
    return "better" if size(effect) * measure.better > 0 else "worse"


def told(effect: Effect | None) -> str:
    """An effect with its interval, such as 0.31 (0.25 to 0.38) behind a sign."""
    if effect is None:
        return ""
    text = number(effect.estimate, effect.kind == "ratio")
    low, high = effect.adjusted_low, effect.adjusted_high
    if low is None or high is None:
        low, high = effect.low, effect.high
    if low is None or high is None:
        return text
    ratio = effect.kind == "ratio"
    if not math.isfinite(high - low) or (ratio and high > ENDLESS):
        return f"{text} (without end)"
    return f"{text} ({number(low, ratio, bare=True)} to {number(high, ratio, bare=True)})"


def number(value: float, ratio: bool, bare: bool = False) -> str:
    if ratio:
        return f"{'' if bare else TIMES}{short(value)}"
    return fixed(value, 2 if abs(value) >= 0.1 or value == 0 else 3, signed=True)
