"""Paired comparisons of variants: effects, intervals, p-values and verdicts.

A score is averaged over the seeds and over a panel of judges, ratios on the log scale. How the
error of such a mean is found stands in `sharpvae.report.chance`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from sharpvae.report.chance import Array, Part, error_below, p_value, parts_of

if TYPE_CHECKING:  # scores may import this module some day
    from sharpvae.report.scores import Goal

Kind = Literal["ratio", "difference"]
Verdict = Literal["better", "worse", "no difference shown"]

ALPHA = 0.05
FID_FLOOR = 1e-3  # a FID below is rounding in the root of a covariance: two equal sets of images
TARGETS: dict[Goal, float] = {"one": 1.0, "zero": 0.0}


class Reading(NamedTuple):
    """One score of one run: a variant trained from one seed.

    Replicate g of G is the score without the images whose index % G is g. The same images are
    left out for every variant, so replicates are paired as the values are.
    """

    values: Mapping[str, float]  # by judge
    replicates: Mapping[str, ArrayLike] | None = None  # by judge: (G,); None: not known

    @classmethod
    def alone(cls, value: float, replicates: ArrayLike | None = None) -> Reading:
        """A score that needs no judge."""
        return cls({"": value}, None if replicates is None else {"": replicates})


class Interval(NamedTuple):
    """A variant's mean over the seeds with its 95 % interval; both ends None if nothing varies."""

    centre: float
    low: float | None
    high: float | None
    sources: tuple[str, ...]  # what the interval covers, out of seeds and images

    @property
    def half_width(self) -> float | None:
        """Half the interval's width; None where there is no interval or it has no finite end."""
        if self.low is None or self.high is None or not math.isfinite(self.high - self.low):
            return None
        return (self.high - self.low) / 2


@dataclass(frozen=True)
class Effect:
    """How a variant's score compares with the baseline's, over the same seeds and images."""

    estimate: float  # variant / baseline, or variant - baseline
    low: float | None  # 95 % interval; None if no source of chance was measured
    high: float | None
    kind: Kind
    seeds: int
    judges: tuple[str, ...]  # those of positive weight
    p: float | None  # two-sided, for no change
    parts: tuple[Part, ...]
    target: float | None = None  # if set, distances from it were compared
    adjusted_p: float | None = None  # after `correct`
    adjusted_low: float | None = None
    adjusted_high: float | None = None

    @property
    def null(self) -> float:
        """The value that means no change."""
        return 1.0 if self.kind == "ratio" else 0.0

    @property
    def sources(self) -> tuple[str, ...]:
        """What the interval covers, out of seeds, judges and images; seeds need at least two."""
        return tuple(part.source for part in self.parts)

    def interval(self, alpha: float = ALPHA) -> tuple[float, float] | tuple[None, None]:
        """The interval that covers the truth in 1 - `alpha` of cases, alpha >= 1 / (DRAWS + 1).

        It leaves out no change exactly where p <= alpha. Smaller alphas give infinite ends.
        """
        centre = math.log(self.estimate) if self.kind == "ratio" else self.estimate
        return _ends(self.parts, centre, alpha, self.kind)


def paired_effect(
    variant: Sequence[Reading], baseline: Sequence[Reading], kind: Kind, *, goal: Goal = "none",
    weights: Mapping[str, float] | None = None, floor: float = 0.0,
) -> Effect:  # fmt: skip
    """Compare two variants seed by seed, judge by judge, image group by image group.

    `variant[i]` and `baseline[i]` have the same seed. A "ratio" is compared on the log scale; no
    change is 1. A "difference" is for scores that may be 0 or negative; no change is 0. With the
    goal "one" or "zero" it is the difference of distances from the goal, averaged over the seeds.
    If all seeds, judges and groups agree to the last digit, the interval has no width.

    Args:
        weights: of the judges, 1 by default; a judge of weight 0 is left out.
        floor: of a ratio's values: those between -`floor` and `floor` count as `floor`, since
            rounding can make the FID of equal images 0 or slightly negative (`FID_FLOOR`).

    Raises:
        ValueError: seeds, judges or groups do not match, or a value is not finite; of a ratio, a
            value is not positive, or the goal is "one" or "zero".
    """
    if len(variant) != len(baseline):
        raise ValueError(f"{len(variant)} seeds cannot be paired with {len(baseline)}")
    terms = ((1.0, variant), (-1.0, baseline))
    return contrast(terms, kind, goal=goal, weights=weights, floor=floor)


def contrast(
    terms: Sequence[tuple[float, Sequence[Reading]]], kind: Kind, *, goal: Goal = "none",
    weights: Mapping[str, float] | None = None, floor: float = 0.0,
) -> Effect:  # fmt: skip
    """A weighted sum of several variants' scores, on the log scale for a "ratio".

    As `paired_effect`, which is the contrast of weights 1 and -1. Weights that add up to 0 leave
    out what a seed does to all variants alike, as a group of images does.

    Args:
        terms: weight and readings of each variant, one reading a seed, in the order of the seeds.

    Raises:
        ValueError: as `paired_effect`; or fewer than two terms.
    """
    if len(terms) < 2 or len({len(runs) for _, runs in terms}) != 1:
        raise ValueError("a contrast is of two variants or more, each of the same seeds")
    target = TARGETS.get(goal)
    if kind == "ratio" and target is not None:
        raise ValueError(f"distances from {target:g} are compared as a difference, not as a ratio")
    share = _shares([run for _, runs in terms for run in runs], weights)
    stacked = [_stack(runs, tuple(share), kind, target, floor) for _, runs in terms]
    factors = np.array([factor for factor, _ in terms])
    values = np.stack([values for values, _ in stacked])
    groups = _combined(factors, [groups for _, groups in stacked])
    weight = np.array(list(share.values()))
    centre = float(factors @ values.mean(axis=1) @ weight)
    parts = parts_of(values, factors, groups, weight)
    low, high = _ends(parts, centre, ALPHA, kind)
    p = p_value(parts, abs(centre)) if parts else None
    estimate, seeds = _scale_back(centre, kind), values.shape[1]
    return Effect(estimate, low, high, kind, seeds, tuple(share), p, parts, target)


def interval(
    runs: Sequence[Reading], kind: Kind, *,
    weights: Mapping[str, float] | None = None, floor: float = 0.0,
) -> Interval:  # fmt: skip
    """One variant's score, a reading per seed: its mean and 95 % interval over seeds and images.

    "ratio" is for positive distances: geometric means and an interval that is symmetric on the
    log scale. Judges are taken as given: each has a unit of its own, so how they differ on one
    variant says nothing. Arguments and errors are as in `paired_effect`.
    """
    share = _shares(runs, weights)
    values, groups = _stack(runs, tuple(share), kind, None, floor)
    weight = np.array(list(share.values()))
    centre = float(weight @ values.mean(axis=0))
    parts = tuple(
        part
        for part in parts_of(values[None], np.ones(1), groups, weight)
        if part.source != "judges"
    )
    low, high = _ends(parts, centre, ALPHA, kind)
    return Interval(_scale_back(centre, kind), low, high, tuple(part.source for part in parts))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false finding at their level (Holm 1979).

    Raises:
        ValueError: a p-value is not in [0, 1].
    """
    p = np.asarray(p_values, dtype=np.float64)
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    raised = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    adjusted = np.empty_like(p)
    adjusted[order] = raised
    return adjusted.tolist()


def correct(effects: Sequence[Effect]) -> list[Effect]:
    """The same effects with p-values and intervals adjusted by Holm for being read together.

    An adjusted interval has the level at which Holm tests its effect: it leaves out no change
    exactly where the adjusted p is at most 0.05. Effects without an interval do not count.
    """
    raised = iter(holm([effect.p for effect in effects if effect.p is not None]))
    corrected = list(effects)
    for index, effect in enumerate(effects):
        if effect.p is not None:
            p = next(raised)
            low, high = effect.interval(ALPHA * effect.p / p)
            corrected[index] = replace(effect, adjusted_p=p, adjusted_low=low, adjusted_high=high)
    return corrected


def verdict_of(effect: Effect, goal: Goal) -> Verdict:
    """Whether the variant is shown to be nearer the goal than the baseline, or farther.

    Judged by the adjusted p where there is one. Without an interval nothing is shown.

    Raises:
        ValueError: the goal is "none", or `paired_effect` was told another kind of goal.
    """
    if goal == "none":
        raise ValueError("no value of this score is better than another")
    if effect.target != TARGETS.get(goal):
        raise ValueError(f"the effect was not made for the goal '{goal}': give it to paired_effect")
    p = effect.p if effect.adjusted_p is None else effect.adjusted_p
    if p is None or p > ALPHA:
        return "no difference shown"
    return "better" if (effect.estimate > effect.null) == (goal == "higher") else "worse"


def _shares(runs: Sequence[Reading], weights: Mapping[str, float] | None) -> dict[str, float]:
    """The judges of positive weight, with weights that add up to 1."""
    if not runs:
        raise ValueError("no seed to take a mean over")
    judges = set(runs[0].values)
    if any(set(run.values) != judges for run in runs):
        raise ValueError("every run must be scored by the same judges")
    given = dict.fromkeys(judges, 1.0) if weights is None else weights
    if missing := judges - set(given):
        raise ValueError(f"no weight for the judges {', '.join(sorted(missing))}")
    if not all(math.isfinite(given[judge]) and given[judge] >= 0 for judge in judges):
        raise ValueError("weights are finite and not negative")
    kept = {judge: given[judge] for judge in sorted(judges) if given[judge] > 0}
    if not kept:
        raise ValueError("no judge has a positive weight")
    total = math.fsum(kept.values())
    return {judge: weight / total for judge, weight in kept.items()}


def _stack(
    runs: Sequence[Reading], judges: tuple[str, ...], kind: Kind, target: float | None, floor: float
) -> tuple[Array, Array | None]:
    """Values (S, J) and replicates (S, J, G) on the scale on which they are averaged."""
    values = np.array([[run.values[judge] for judge in judges] for run in runs], np.float64)
    with_images = [run.replicates is not None for run in runs]
    if any(with_images) and not all(with_images):
        raise ValueError("some runs have replicates over images and some have not")
    groups: Array | None = None
    if all(with_images):
        found = [(run.replicates or {}).get(judge, ()) for run in runs for judge in judges]
        rows = [np.asarray(row, np.float64) for row in found]
        if any(row.ndim != 1 or row.size < 2 or row.size != rows[0].size for row in rows):
            raise ValueError("replicates are a row per judge, of the same 2 or more groups each")
        groups = np.array(rows).reshape(len(runs), len(judges), -1)
    if not (np.isfinite(values).all() and (groups is None or np.isfinite(groups).all())):
        raise ValueError("a score or a replicate is not finite")
    if kind == "ratio":
        return _log(values, floor), None if groups is None else _log(groups, floor)
    if target is None:
        return values, groups
    if groups is not None:
        # The distance has a corner at the target, where the jackknife fails: take its slope.
        slope = np.where(values < target, -1.0, 1.0)[:, :, None]
        groups = slope * (groups - target)
    return np.abs(values - target), groups


def _combined(factors: Array, groups: Sequence[Array | None]) -> Array | None:
    if all(own is None for own in groups):
        return None
    known = [own for own in groups if own is not None]
    if len(known) < len(groups) or len({own.shape for own in known}) > 1:
        raise ValueError("the variants must have replicates over the same groups of images")
    return np.asarray(np.tensordot(factors, np.stack(known), 1))


def _log(values: Array, floor: float) -> Array:
    if (values < -floor).any() or (floor <= 0 and (values <= 0).any()):
        raise ValueError(f"a ratio needs positive values, not {values.min():g}")
    return np.log(np.maximum(values, floor))


def _ends(
    parts: tuple[Part, ...], centre: float, alpha: float, kind: Kind
) -> tuple[float, float] | tuple[None, None]:
    """From the least to the greatest value whose p-value is above alpha."""
    if not parts:
        return None, None
    half = error_below(parts, alpha)
    return _scale_back(centre - half, kind), _scale_back(centre + half, kind)


def _scale_back(value: float, kind: Kind) -> float:
    if kind == "difference":
        return value
    return math.exp(value) if value < 700 else math.inf
