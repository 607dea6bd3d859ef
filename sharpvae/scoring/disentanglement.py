"""Disentanglement: whether each latent dimension stands for one known factor of the images.

From posterior means, (N, Z), and the factors that the images were made from, int64 (N, K). The
values of a factor are names without an order: shapes and places alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

Floats = NDArray[np.floating]
Factors = NDArray[np.int64]

LEAST = 100  # images; fewer say more of chance than of the code
MOST = 5000  # images; the first, for a split stands in random order
BINS = 20  # of each latent dimension, as in Locatello et al. 2019
TREES, DEPTH, LEAF = 10, 6, 5  # few and shallow: seconds for a hundred dimensions
MOST_OF_TREES = 2000  # images, likewise


def mig(mean: Floats, factors: Factors) -> float:
    """Mutual information gap: how much more one dimension tells of a factor than any other does.

    Chen et al. 2018, Isolating sources of disentanglement in VAEs, section 4.1: for each factor
    the difference between the two largest mutual informations, over the factor's entropy, averaged
    over the factors. Dimensions are cut into `BINS` of equal width, as in Locatello et al. 2019.
    Factors of one value are left out. (N, Z), int64 (N, K) => 0..1; 0 where nothing is told

    Raises:
        ValueError: fewer than `LEAST` images, no factor that varies, means that are not finite, or
            arrays that do not fit together.
    """
    codes, varying = _usable(mean, factors)
    bins = _binned(codes)
    gaps = []
    for factor in varying:
        told = np.sort(_information(bins, factor))
        second = told[-2] if len(told) > 1 else 0.0
        gaps.append((told[-1] - second) / _entropy(np.bincount(factor)))
    return float(np.mean(gaps))


def dci(mean: Floats, factors: Factors) -> float:
    """Disentanglement of DCI: whether a dimension that tells of one factor tells of no other.

    Eastwood and Williams 2018, A framework for the quantitative evaluation of disentangled
    representations, section 2: a random forest predicts each factor, which gives every dimension
    an importance for it. A dimension's score is 1 minus the entropy of its importances to base K;
    their mean is weighted by importance. Neither completeness nor informativeness is in it.
    Factors of one value are left out. (N, Z), int64 (N, K) => 0..1; 0 where nothing is told

    Raises:
        ValueError: as of `mig`; or a single factor that varies.
    """
    codes, varying = _usable(mean, factors)
    if len(varying) < 2:
        raise ValueError("one factor varies; a dimension can only be told apart between two")
    importance = _importance(codes[:MOST_OF_TREES], [own[:MOST_OF_TREES] for own in varying])
    weight = importance.sum(axis=1)
    useful = weight > 0
    if not useful.any():  # a code that is the same for all images
        return 0.0
    share = importance[useful] / weight[useful, None]
    own = 1 - entr(share).sum(axis=1) / np.log(len(varying))
    return float(np.average(own, weights=weight[useful]))


def _importance(codes: NDArray[np.float64], varying: list[NDArray[np.intp]]) -> Floats:
    """Of each dimension for each factor: float64 (N, Z), K times (N,) => float64 (Z, K)"""
    from sklearn.ensemble import RandomForestClassifier  # only if needed: it takes a second

    columns = []
    for factor in varying:
        # Every split looks at all dimensions: among a few of them noise would often be the best.
        forest = RandomForestClassifier(
            TREES, max_depth=DEPTH, min_samples_leaf=LEAF, max_features=None, n_jobs=1,
            random_state=0,
        )  # fmt: skip
        columns.append(forest.fit(codes, factor).feature_importances_)
    return np.stack(columns, axis=1)


def _usable(mean: Floats, factors: Factors) -> tuple[NDArray[np.float64], list[NDArray[np.intp]]]:
    """Means (N, Z) of at most `MOST` images, and each factor that varies in them as 0, 1, 2, ..."""
    if mean.ndim != 2 or factors.ndim != 2 or len(mean) != len(factors) or not mean.shape[1]:
        raise ValueError(f"means {mean.shape} and factors {factors.shape} must be (N, Z), (N, K)")
    if len(mean) < LEAST:
        raise ValueError(f"{len(mean)} images with known factors; {LEAST} are needed")
    codes = mean[:MOST].astype(np.float64)
    if not np.isfinite(codes).all():
        raise ValueError("posterior means are not finite")
    columns = [np.unique(column, return_inverse=True)[1] for column in factors[:MOST].T]
    varying = [column for column in columns if column.max() > 0]
    if not varying:
        raise ValueError("every factor has one value in these images")
    return codes, varying


def _binned(codes: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each mean, between the least and the largest of its dimension: (N, Z), 0..19"""
    low = codes.min(axis=0)
    width = (codes.max(axis=0) - low) / BINS
    # A dimension that never moves has one bin.
    steps = np.divide(codes - low, width, out=np.zeros_like(codes), where=width > 0)
    return np.minimum(steps.astype(np.intp), BINS - 1)


def _information(bins: NDArray[np.intp], factor: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mutual information of each dimension with a factor in nats: (N, Z), (N,) => float64 (Z,)"""
    size, values = bins.shape[1], int(factor.max()) + 1
    cells = (np.arange(size) * BINS + bins) * values + factor[:, None]
    counts = np.bincount(cells.ravel(), minlength=size * BINS * values)
    joint = counts.reshape(size, BINS, values)
    both = _entropy(joint.reshape(size, -1))
    return np.asarray(_entropy(joint.sum(axis=2)) + _entropy(joint.sum(axis=1)) - both)


def _entropy(counts: NDArray[np.intp]) -> NDArray[np.float64]:
    """In nats, of counts along the last axis."""
    return np.asarray(entr(counts / counts.sum(axis=-1, keepdims=True)).sum(axis=-1))
