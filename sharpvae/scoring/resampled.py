"""Distances between two sets of features with a part of the images left out, fast.

For intervals over images (a jackknife over groups), and for the limit of many images. A group of an
image is its index % groups. Features are float64 (N, F).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

Features = NDArray[np.float64]

GROUPS = 10  # of images, each left out in turn: image i is in group i % GROUPS


class Moments:
    """Means and covariances of a set without any one of its groups, from sums of each group.

    Holds groups x F x F numbers: 60 MB for ten groups of 864 features.

    Args:
        features: float64 (N, F), at least 2 images left without the largest group.

    Raises:
        ValueError: too few images or groups, or values that are not finite.
    """

    def __init__(self, features: Features, groups: int = GROUPS) -> None:
        _check_groups(groups)
        _check(features, groups)
        self.groups, self.centre = groups, features.mean(axis=0)
        parts = [features[group::groups] - self.centre for group in range(groups)]
        self.counts = [len(part) for part in parts]
        self.sums = np.stack([part.sum(axis=0) for part in parts])
        self.squares = np.stack([part.T @ part for part in parts])

    def without(self, group: int | None) -> tuple[Features, Features]:
        """Mean (F,) and covariance (F, F), divided by N - 1; of all images for None."""
        kept = [g for g in range(self.groups) if g != group]
        count = sum(self.counts[g] for g in kept)
        mean = self.sums[kept].sum(axis=0) / count
        squares = self.squares.sum(axis=0) - (0 if group is None else self.squares[group])
        covariance = (squares - count * np.outer(mean, mean)) / (count - 1)
        return self.centre + mean, covariance


class FrechetReference:
    """The Frechet distance from one set of reals, whose decompositions are kept.

    Args:
        real: float64 (N, F), as of `Moments`.

    Raises:
        ValueError: as of `Moments`, or all reals have the same features.
    """

    def __init__(self, real: Features, groups: int = GROUPS) -> None:
        self.moments = Moments(real, groups)
        if not np.ptp(real, axis=0).any():
            raise ValueError("all real images have the same features")
        self._root = cache(self._decompose)  # of this object, and gone with it

    def distance(self, fake: Moments, group: int | None = None) -> float:
        """FID as `sharpvae.perception.fidelity.fid`, without `group` on both sides.

        The trace of the root of C1 C2 is the sum of roots of the eigenvalues of the symmetric
        L' C2 L with C1 = L L', which are real and quick to find.
        """
        mean, trace, factor = self._root(group)
        other_mean, covariance = fake.without(group)
        between = np.linalg.eigvalsh(factor.T @ covariance @ factor)
        shift = mean - other_mean
        roots = np.sqrt(np.maximum(between, 0)).sum()
        return max(float(shift @ shift + trace + np.trace(covariance) - 2 * roots), 0.0)

    def replicates(self, fake: Moments) -> Features:
        """Without each group in turn: float64 (groups,)"""
        if fake.groups != self.moments.groups:
            raise ValueError(f"{fake.groups} groups of fakes, {self.moments.groups} of reals")
        with threadpool_limits(1, user_api="blas"):  # more are slower at these sizes
            return np.array([self.distance(fake, group) for group in range(fake.groups)])

    def _decompose(self, group: int | None) -> tuple[Features, float, Features]:
        """Mean, trace of the covariance C, and L (F, rank) with C = L L'."""
        mean, covariance = self.moments.without(group)
        trace = float(np.trace(covariance))
        try:
            return mean, trace, np.asarray(np.linalg.cholesky(covariance), np.float64)
        except np.linalg.LinAlgError:  # fewer images than features, or features that are constant
            values, vectors = np.linalg.eigh(covariance)
        # What is below is rounding; its root would not be small.
        some = values > values[-1] * len(values) * np.finfo(np.float64).eps
        return mean, trace, vectors[:, some] * np.sqrt(values[some])


def jackknife_error(replicates: Features) -> Features:
    """Standard error of a smooth statistic from its values without each group (Tukey 1958).

    float64 (groups, ...) => float64 (...)
    """
    groups = len(replicates)
    spread = np.square(replicates - replicates.mean(axis=0)).sum(axis=0)
    return np.asarray(np.sqrt(spread * (groups - 1) / groups))


def extrapolated(full: float, replicates: Features) -> tuple[float, float]:
    """A score in the limit of many images, where it is off by c / N; and its standard error.

    The line in 1 / N through the score of all N images and the mean of those of N (1 - 1 / groups),
    read at 0: the same as the jackknife's correction of bias (Quenouille 1956).
    """
    groups = len(replicates)
    limit = groups * full - (groups - 1) * float(replicates.mean())
    return limit, float(jackknife_error(replicates))


def _check_groups(groups: int) -> None:
    if groups < 2:
        raise ValueError(f"a jackknife needs at least 2 groups, not {groups}")


def _check(features: Features, groups: int) -> None:
    """At least two finite vectors, and as many without any one group."""
    if features.ndim != 2 or features.shape[1] == 0:
        raise ValueError(f"features must be (N, F), not {features.shape}")
    count = len(features)
    left = count - -(-count // groups) if groups > 1 else count
    if left < 2 or count < groups:
        raise ValueError(f"{count} images are too few for {groups} groups")
    if not np.isfinite(features).all():
        raise ValueError("features are not finite")
