"""Nearest neighbours in feature space: fidelity, diversity, and copies of training images.

Features are float64 (N, F), already on one scale: every distance here is Euclidean.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Features = NDArray[np.float64]

NEIGHBOURS = 5  # Naeem et al. 2020, section 4
LEAST = 10  # images in a set; among fewer, balls of neighbours span most of it
_CELLS = 4_000_000  # of a block of distances: 32 MB
_VALUES = 16_000_000  # of a block of training images: 128 MB
_MOST, _FEWEST = 10**9, 1000  # distances to training images; samples for which all are taken
_RARE = 0.01  # share of honest images that may look like copies
_SHOWN = 6


def neighbours_for(count: int, asked: int | None = None) -> int | None:
    """The k of a set of `count` images: `asked`, else 5; at most `count` - 1.

    With several sets, `count` is the size of the smallest. None below 10 images: leave the metrics
    of neighbours out. At equal sizes a k of 5 keeps its meaning down to there: the coverage of an
    honest sample is 0.99 at 10 images and 0.97 at 1000 (Naeem et al. 2020, lemma 2).
    """
    if asked is not None and asked < 1:
        raise ValueError(f"k must be at least 1, not {asked}")
    return min(asked or NEIGHBOURS, count - 1) if count >= LEAST else None


def precision_recall(real: Features, fake: Features, k: int = NEIGHBOURS) -> tuple[float, float]:
    """Share of fakes near reals, share of reals near fakes (Kynkaanniemi et al. 2019, eq. 1 to 3).

    Near is within the ball to the k-th neighbour of some image of the other set; computed by
    torch-fidelity, whose own default is k = 3. One outlier makes a large ball and raises both:
    `density` and `coverage` do not mind it.
    float64 (N, F) and (M, F), N and M above k => 0..1 twice

    Raises:
        ValueError: too few images, values that are not finite, or reals that are one image
            repeated (fakes may be).
    """
    import torch
    from torch_fidelity.metric_prc import (
        KEY_METRIC_PRECISION,
        KEY_METRIC_RECALL,
        prc_features_to_metric,
    )

    _check(k + 1, real=real, fake=fake)
    _check_varied(real=real)
    found = prc_features_to_metric(
        torch.from_numpy(np.asarray(fake, np.float64)),
        torch.from_numpy(np.asarray(real, np.float64)),
        prc_neighborhood=k,
        prc_batch_size=1000,
        save_cpu_ram=True,
        verbose=False,
    )
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])


def density_coverage(real: Features, fake: Features, k: int = NEIGHBOURS) -> tuple[float, float]:
    """How densely fakes lie where reals do, and the share of reals with a fake near them.

    Naeem et al. 2020, eq. 4 and 5: near is strictly within the ball of a real image to its k-th
    real neighbour. The density of an honest sample is 1 on average, the coverage 1 - 2^-k for large
    N. Density has no upper limit: fakes may crowd where reals are dense, as blurred images do (2.3
    for flowers blurred by 1 px, in pixels), so a high one is no praise.
    float64 (N, F) and (M, F), N above k => density >= 0, coverage 0..1

    Raises:
        ValueError: as of `precision_recall`.
    """
    density, coverage = _density_coverage(real, fake, k, 0)[0]
    return float(density), float(coverage)


def density_coverage_replicates(
    real: Features, fake: Features, k: int = NEIGHBOURS, groups: int = 10
) -> Features:
    """Both with one part in `groups` of both sets left out in turn, for a jackknife.

    Image i is in group i % groups. Distances are computed once for all.
    float64 (N, F) and (M, F) => float64 (groups, 2), density and coverage

    Raises:
        ValueError: as of `precision_recall`; N without a group must be above k.
    """
    if groups < 2:
        raise ValueError(f"a jackknife needs at least 2 groups, not {groups}")
    _check(groups, fake=fake)
    return _density_coverage(real, fake, k, groups)[1:]


def _density_coverage(real: Features, fake: Features, k: int, groups: int) -> Features:
    """(groups + 1, 2): of all images, then without each group."""
    largest = -(-len(real) // groups) if groups else 0
    _check(k + 1 + largest, real=real)
    _check(1, fake=fake, real=real)
    _check_varied(real=real)
    parts = max(groups, 1)
    of_fake = np.arange(len(fake)) % parts
    inside, covered = np.zeros(groups + 1), np.zeros(groups + 1)
    for rows, to_reals in _distances(real, real):
        to_reals[np.arange(len(rows)), rows] = np.inf
        radii = _radii(to_reals, k, groups)
        (_, to_fakes), *_ = _distances(real[rows], fake, len(rows))
        nearest = np.stack([to_fakes[:, of_fake == g].min(axis=1) for g in range(parts)])
        for left_out, radius in enumerate(radii, -1):  # -1: none
            kept_rows = rows % parts != left_out
            within = to_fakes[kept_rows] < radius[kept_rows, None]
            inside[left_out + 1] += within[:, of_fake != left_out].sum()
            closest = np.delete(nearest, left_out, 0) if left_out >= 0 else nearest
            covered[left_out + 1] += (closest.min(axis=0) < radius)[kept_rows].sum()
    reals, fakes = (_counts(len(set_), groups) for set_ in (real, fake))
    return np.stack([inside / (k * fakes), covered / reals], axis=1)


def _counts(count: int, groups: int) -> Features:
    """(groups + 1,) images that are left"""
    return count - np.array([0, *(len(range(g, count, groups)) for g in range(groups))], float)


def _radii(distances: Features, k: int, groups: int) -> Features:
    """Distance to the k-th neighbour among all, then without each group: (groups + 1, rows)

    The k nearest of the rest are among the k nearest of every other group.
    """
    count = distances.shape[1]
    columns = [np.arange(g, count, max(groups, 1)) for g in range(max(groups, 1))]
    best = [_smallest(distances[:, group], k) for group in columns]
    choices = [best, *([*best[:g], *best[g + 1 :]] for g in range(groups))]
    return np.stack([_smallest(np.concatenate(few, 1), k).max(axis=1) for few in choices])


def _smallest(values: Features, k: int) -> Features:
    """The k smallest of each row, in no order; all where there are fewer."""
    return values if values.shape[1] <= k else np.partition(values, k - 1, axis=1)[:, :k]


@dataclass(frozen=True)
class Memorisation:
    """How much nearer samples are to training images than to unseen ones.

    Attributes:
        ratio: 1 for honest samples, near 0 for copies. Blur moves it little: 1.09 for unseen digits
            blurred by 2 px, 0.98 for photographs of flowers.
        copied: share of samples that look copied, 0..1; of honest ones 0.01, or one in the number
            of test images where these are fewer than 100. It sees a tenth of copies among honest
            samples, to which the ratio, a median, is blind.
        suspects: (sample, training image) of up to six, the most suspicious first.
    """

    ratio: float
    copied: float
    suspects: list[tuple[int, int]]


class Rows(Protocol):
    """Features that are computed when they are asked for: an array, or what is indexed like one."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> Features: ...


class Training:
    """The training split, and how near to it images lie that nobody has trained on.

    Of a million training images, a thousand samples and test images are looked at, the first: the
    distances are at most 10^9 or a thousand times as many as there are training images.

    Args:
        train: float64 (N, F), held a block at a time.
        test: float64 (M, F).
    """

    def __init__(self, train: Rows, test: Features) -> None:
        self._train, self._test = train, test
        self._most = max(_FEWEST, _MOST // max(1, len(train)))

    @cached_property
    def _honest(self) -> Features:
        """Ratio of each test image."""
        unseen = self._test[: self._most]
        far = _nearest(unseen, self._test, others=True)[1]
        return _ratios(self._nearest(unseen)[1], far)

    def memorisation(self, fake: Features) -> Memorisation | None:
        """Compare each fake's distance to its nearest training image with that to its nearest test
        one.

        All of the training split is searched, or copies of few of its images would be missed. It is
        larger than the test split, so its nearest image is nearer even to honest samples; hence the
        same ratio is taken of the test images themselves, each against the other test images. The
        median of the fakes' ratios is divided by theirs: no assumption on dimension or density is
        needed. Looks copied what has a lower ratio than all but 1 % of test images. Moved copies
        are not seen in raw pixels.

        Of suspects each training image is named once, with its most suspicious sample.
        float64 (L, F)

        Returns:
            None with fewer than 10 images in a set, or where half of the test images stand in the
            training split.

        Raises:
            ValueError: values that are not finite, or a set of reals that is one image repeated.
        """
        if min(len(self._train), len(self._test), len(fake)) < LEAST:
            return None
        _check(1, test=self._test, fake=fake)
        _check_varied(test=self._test)
        usual = float(np.median(self._honest))
        if not (usual > 0 and np.isfinite(usual)):
            return None
        fake = fake[: self._most]
        nearest, to_train = self._nearest(fake)
        ratios = _ratios(to_train, _nearest(fake, self._test)[1])
        # Others than "lower" would mix in infinite ratios.
        limit = np.quantile(self._honest, _RARE, method="lower")
        suspects: dict[int, int] = {}
        for sample in np.lexsort((to_train, ratios)).tolist():
            if len(suspects) < _SHOWN:
                suspects.setdefault(int(nearest[sample]), sample)
        return Memorisation(
            ratio=float(np.median(ratios)) / usual,
            copied=float((ratios < limit).mean()),
            suspects=[(sample, image) for image, sample in suspects.items()],
        )

    def _nearest(self, of: Features) -> tuple[NDArray[np.int64], Features]:
        """Index of and distance to the nearest training image."""
        found, least = np.zeros(len(of), np.int64), np.full(len(of), np.inf)
        varied, first = False, self._train[:1]
        for start, block in self._blocks():
            _check(1, train=block, fake=of)
            varied = varied or bool((block != first).any())
            for rows, distances in _distances(of, block):
                own = distances.argmin(axis=1)
                nearer = (value := distances[np.arange(len(own)), own]) < least[rows]
                found[rows[nearer]], least[rows[nearer]] = start + own[nearer], value[nearer]
        if not varied:
            raise ValueError("train: all images have the same features")
        return found, _exact(of, self._train, found)

    def _blocks(self) -> Iterator[tuple[int, Features]]:
        size = max(1, _VALUES // self._train[:1].size)
        for start in range(0, len(self._train), size):
            yield start, self._train[start : start + size]


def memorisation(train: Features, test: Features, fake: Features) -> Memorisation | None:
    """As `Training.memorisation`, of one set."""
    return Training(train, test).memorisation(fake)


def _ratios(near: Features, far: Features) -> Features:
    """near / far; 1 where both are 0, infinite where `far` alone is."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where((near == 0) & (far == 0), 1.0, near / far)


def _nearest(
    of: Features, among: Features, others: bool = False
) -> tuple[NDArray[np.int64], Features]:
    """Index of and distance to the nearest; with `others` not the image of the same index."""
    found = np.empty(len(of), np.int64)
    for rows, distances in _distances(of, among):
        if others:
            distances[np.arange(len(rows)), rows] = np.inf
        found[rows] = distances.argmin(axis=1)
    return found, _exact(of, among, found)


def _exact(of: Features, among: Rows, found: NDArray[np.int64]) -> Features:
    """Distances by differences: the expanded square leaves some 1e-7 between equal images."""
    return np.linalg.norm(of - among[found], axis=1)


def _distances(
    of: Features, to: Features, block: int | None = None
) -> Iterator[tuple[NDArray[np.int64], Features]]:
    """Rows of `of`, and their distances (rows, len(to)), in blocks that fit into memory."""
    centre = to.mean(axis=0)  # small numbers lose less in the expanded square
    columns = to - centre
    squares = np.einsum("ij,ij->i", columns, columns)
    block = block or max(1, _CELLS // len(to))
    for start in range(0, len(of), block):
        rows = of[start : start + block] - centre
        table = rows @ (-2 * columns.T)
        table += squares
        table += np.einsum("ij,ij->i", rows, rows)[:, None]
        yield np.arange(start, start + len(rows)), np.sqrt(np.maximum(table, 0, out=table))


def _check(least: int, **sets: Features) -> None:
    """Every set has `least` finite vectors, all of one length."""
    for name, features in sets.items():
        if features.ndim != 2 or features.shape[1] == 0:
            raise ValueError(f"{name}: features must be (N, F), not {features.shape}")
        if len(features) < least:
            raise ValueError(f"{name}: {len(features)} images; at least {least} are needed")
        if not np.isfinite(features).all():
            raise ValueError(f"{name}: features are not finite")
    if len({features.shape[1] for features in sets.values()}) > 1:
        raise ValueError("the sets have different numbers of features")


def _check_varied(**sets: Features) -> None:
    """Balls around reals that are one image repeated have no radius."""
    for name, features in sets.items():
        if (features == features[0]).all():
            raise ValueError(f"{name}: all images have the same features")
