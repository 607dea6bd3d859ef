"""Which images are taken, and into which split: pure functions of the names and the seed.

Every image is ranked by a hash of the seed and its name. That depends on no random generator's
version and on no order of listing, and a larger subset contains the smaller ones.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sharpvae.datasets.packed import SPLITS, SplitName

Key = TypeVar("Key", bound=Hashable)
Indices = NDArray[np.int64]


def ranking(names: Sequence[str], seed: int) -> Indices:
    """A random order of `names` that depends on the set of names and the seed alone.

    Returns:
        int64 [N]: indices into `names`, first taken first.
    """
    rank = [hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names]
    return np.array(sorted(range(len(names)), key=rank.__getitem__), dtype=np.int64)


def apportion(total: int, sizes: Mapping[Key, int]) -> dict[Key, int]:
    """Share `total` among strata in proportion to their sizes, by largest remainder.

    The shares add up to `total`, each is within 1 of its exact proportion, and none is larger
    than its stratum. Ties go to the stratum that `sizes` names first.

    Raises:
        ValueError: `total` is not in 0..sum of sizes.
    """
    whole = sum(sizes.values())
    if not 0 <= total <= whole:
        raise ValueError(f"cannot take {total} of {whole}")
    if whole == 0:
        return dict.fromkeys(sizes, 0)
    shares = {key: total * size // whole for key, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda key: -(total * sizes[key] % whole))
    for key in by_remainder[: total - sum(shares.values())]:
        shares[key] += 1
    return shares


def quotas(total: int, sizes: Mapping[Key, int]) -> dict[Key, int]:
    """Share `total` among strata in proportion to their sizes, by the method of Sainte-Lague.

    Unlike the largest remainder, one more in all is never one fewer for any stratum, so that a
    larger subset contains the smaller ones.

    Raises:
        ValueError: `total` is not in 0..sum of sizes.
    """
    if not 0 <= total <= sum(sizes.values()):
        raise ValueError(f"cannot take {total} of {sum(sizes.values())}")
    strata = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    turns = [(np.arange(size) + 0.5) / size for size in sizes.values() if size]
    order = np.argsort(np.concatenate(turns), kind="stable") if turns else np.zeros(0, np.int64)
    counts = np.bincount(strata[order[:total]], minlength=len(sizes))
    return dict(zip(sizes, counts.tolist(), strict=True))


def subset_count(subset: int | float | None, available: int) -> int:
    """How many images `data.subset` asks for: a count (int), a fraction (float), None for all."""
    if subset is None:
        return available
    if isinstance(subset, float):
        return round_half_up(subset * available)
    return min(subset, available)


def round_half_up(value: float) -> int:
    """Nearest integer; halves go up, so that no split depends on whether a number is even."""
    return math.floor(value + 0.5)


def assign_splits(
    strata: Sequence[int] | Indices,
    own_split: NDArray[np.int8] | None,
    own_splits: frozenset[SplitName],
    test_fraction: float,
    validation_fraction: float,
) -> NDArray[np.str_]:
    """Split images that stand in random order, stratified.

    Args:
        strata: [N] the class of each image (all 0 where there are no labels).
        own_split: int8 [N], the publishers' split as a position in SPLITS, or None.
        own_splits: the splits that they set apart; for another one the fraction decides.
        test_fraction: of all images.
        validation_fraction: of the images that are not test.

    Returns:
        str [N] of "train", "validation" and "test".
    """
    classes = np.asarray(strata, dtype=np.int64)
    own = np.zeros(len(classes), dtype=np.int8) if own_split is None else own_split
    splits = np.array(SPLITS, dtype="<U10")[own]
    if "test" not in own_splits:
        rest = np.flatnonzero(splits == "train")
        splits[rest[_first_of_each(classes[rest], test_fraction)]] = "test"
    if "validation" not in own_splits:
        rest = np.flatnonzero(splits == "train")
        splits[rest[_first_of_each(classes[rest], validation_fraction)]] = "validation"
    return splits


def _first_of_each(classes: Indices, fraction: float) -> Indices:
    """Indices of the leading images of each class that make up `fraction` of all."""
    values, counts = np.unique(classes, return_counts=True)
    sizes = {int(value): int(count) for value, count in zip(values, counts, strict=True)}
    shares = apportion(round_half_up(fraction * len(classes)), sizes)
    taken = [np.flatnonzero(classes == value)[:share] for value, share in shares.items()]
    return np.concatenate(taken) if taken else np.zeros(0, dtype=np.int64)


def drop_straddling(splits: NDArray[np.str_], identities: Sequence[Hashable]) -> NDArray[np.bool_]:
    """Which images stay so that no two equal ones lie in different splits.

    Of equal images those in test stay, then those in validation; equal images within one split
    stay, for they are part of what the data is.

    Args:
        splits: str [N] as `assign_splits` gives.
        identities: [N] equal for equal images, and for no others.

    Returns:
        bool [N], True for an image that stays.
    """
    stays = np.ones(len(splits), dtype=np.bool_)
    taken: set[Hashable] = set()
    for split in ("test", "validation", "train"):
        members = np.flatnonzero(splits == split).tolist()
        for index in members:
            stays[index] = identities[index] not in taken
        taken |= {identities[index] for index in members}
    return stays
