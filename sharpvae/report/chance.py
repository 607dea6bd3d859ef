"""The error of a mean over seeds, judges and images, from few values of each.

Chance enters three times: which seeds were trained, which judges were asked, which images were
scored. Each source has a standard error with its own degrees of freedom; the images' comes from a
jackknife by groups (Efron & Tibshirani 1993, chapter 11). The error of the mean is drawn as the
sum of one scaled Student variable per source: a parametric bootstrap. With one source this gives
Student's interval, with several that of Behrens and Fisher.

Judges are chosen, not drawn: their mean is what a distance is defined by. How they differ widens
an interval as a bootstrap over them does, without Student's factor for a sample of some larger
population of judges, which nobody could name. Whether they agree on an order is told beside it.

The values themselves are not resampled: three seeds have 27 resamples, so such a 95 % interval
covers the truth in three cases of four, and no small p-value exists. A normal or Satterthwaite
approximation of the sum covers too rarely with two seeds.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]

DRAWS = 10_000  # the smallest p-value is 1 / (DRAWS + 1)
_SEED = 20_260_101
_ORDER = ("seeds", "judges", "images")


class Part(NamedTuple):
    """What one source adds to the error of a mean; on the log scale for ratios."""

    source: str  # "seeds", "judges" or "images"
    error: float  # standard error
    freedom: float  # degrees of freedom; infinite: normal


def parts_of(
    values: Array, factors: Array, groups: Array | None, weight: Array
) -> tuple[Part, ...]:
    """The sources of chance in a weighted sum of A variants' means over S seeds and J judges.

    `values` (A, S, J), `factors` (A,); `groups` (S, J, G), replicates of the sum without one group
    of images each; `weight` (J,) adds up to 1. What judges share with seeds or images counts for
    both, which widens the interval.
    """
    seeds, judges = values.shape[1], 1 / float(np.square(weight).sum())  # judges: effective number
    parts = []
    if seeds > 1:
        parts.append(_seeds(values @ weight, factors))
    if judges > 1:
        means = np.tensordot(factors, values, 1).mean(axis=0)
        spread = float(np.square(weight * (means - weight @ means)).sum())
        error = math.sqrt(spread * judges / (judges - 1))
        parts.append(Part("judges", error, math.inf))
    if groups is not None:
        error = _image_error(np.einsum("sjg,j->sg", groups, weight))
        parts.append(Part("images", error, groups.shape[2] - 1))
    return tuple(parts)


def _seeds(values: Array, factors: Array) -> Part:
    """What the seeds add, from values (A, S).

    Each variant has a variance of its own, of what is left when its mean and the seed's are taken
    away. Their weighted sum has the degrees of freedom of Welch and Satterthwaite, less the share
    that the seeds' means took: of two variants those of the paired t-test, of many far more.
    """
    variants, seeds = values.shape
    left, kept = values - values.mean(axis=1, keepdims=True), 1.0
    if variants > 1:
        left, kept = left - left.mean(axis=0), (variants - 1) / variants
    variances = np.square(left).sum(axis=1) / ((seeds - 1) * kept)
    shares = np.square(factors) * variances / seeds
    total, freedom = float(shares.sum()), float(seeds - 1)
    if total > 0:
        freedom *= max(1.0, kept * total**2 / float(np.square(shares).sum()))
    return Part("seeds", math.sqrt(total), freedom)


def _image_error(groups: Array) -> float:
    """The jackknife's standard error of the mean over seeds, from replicates (S, G).

    Each seed draws its own samples, so their chance is in the spread over the seeds already; only
    what the seeds share is left, chiefly the real images: a two-way analysis of variance.
    """
    seeds, count = groups.shape
    # Pseudo-values are count * whole - (count - 1) * replicate; the whole does not vary.
    pseudo = (count - 1) * groups
    shared = pseudo.mean(axis=0)
    variance = _error(shared) ** 2
    if seeds > 1:
        own = pseudo - pseudo.mean(axis=1, keepdims=True) - shared + shared.mean()
        variance -= float(np.square(own).sum()) / ((seeds - 1) * (count - 1) * seeds * count)
    return math.sqrt(max(variance, 0.0))


def _error(values: Array) -> float:
    """Standard error of a mean; the jackknife's, of pseudo-values: note n - 1, not n."""
    return float(values.std(ddof=1)) / math.sqrt(len(values))


@lru_cache(maxsize=64)
def _student(source: str, freedom: float) -> Array:
    """DRAWS values of Student's t, evenly spread in probability, in an order of the source's."""
    shuffled = np.random.default_rng((_SEED, _ORDER.index(source))).permutation(DRAWS)
    return np.asarray(stdtrit(freedom, (shuffled + 0.5) / DRAWS))


def _errors(parts: tuple[Part, ...]) -> Array:
    """Absolute errors of the mean, sorted."""
    total = sum(part.error * _student(part.source, part.freedom) for part in parts)
    return np.sort(np.abs(np.asarray(total)))


def p_value(parts: tuple[Part, ...], error: float) -> float:
    """How often chance makes an error at least as large as the one given, of either sign."""
    smaller = int(np.searchsorted(_errors(parts), error, side="left"))
    return (DRAWS - smaller + 1) / (DRAWS + 1)


def error_below(parts: tuple[Part, ...], alpha: float) -> float:
    """The largest error whose p-value is above alpha; infinite for alpha < 1 / (DRAWS + 1)."""
    beyond = math.floor(alpha * (DRAWS + 1) - 1 + 1e-9)
    return math.inf if beyond < 0 else float(_errors(parts)[max(DRAWS - 1 - beyond, 0)])
