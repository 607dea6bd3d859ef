"""The error of a mean over seeds, judges and images, from few values of each.

Chance enters three times: which seeds were trained, which judges were asked, which images were
scored. Each source has a standard error with its own degrees of freedom; the images' comes from a
jackknife by groups (Efron & Tibshirani 1993, chapter 11). The error of the mean is drawn as the
sum of one scaled Student variable per source: a parametric bootstrap. With one source this gives
Student's interval, with several that of Behrens and Fisher.

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
    freedom: float  # degrees of freedom


def parts_of(values: Array, groups: Array | None, weight: Array) -> tuple[Part, ...]:
    """The sources of chance in the mean over S seeds and J judges.

    `values` (S, J); `groups` (S, J, G), replicates without one group of images each; `weight` (J,)
    adds up to 1. What judges share with seeds or images counts for both, which widens the interval.
    """
    seeds, judges = len(values), 1 / float(np.square(weight).sum())  # judges: effective number
    parts = []
    if seeds > 1:
        parts.append(Part("seeds", _error(values @ weight), seeds - 1))
    if judges > 1:
        means = values.mean(axis=0)
        spread = float(np.square(weight * (means - weight @ means)).sum())
        error = math.sqrt(spread * judges / (judges - 1))
        parts.append(Part("judges", error, max(judges - 1, 1.0)))
    if groups is not None:
        error = _image_error(np.einsum("sjg,j->sg", groups, weight))
        parts.append(Part("images", error, groups.shape[2] - 1))
    return tuple(parts)


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
