"""Which images, in which split."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Hashable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.console import Progress
from sharpvae.core.errors import UserError, UserErrors, nearest
from sharpvae.core.files import expanded
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.config import DataConfig, Minimum
from sharpvae.datasets.decode import UnusableImageError
from sharpvae.datasets.files import Pool, clean, layout, open_files
from sharpvae.images.packed import SPLITS, Skipped, SplitName

Key = TypeVar("Key", bound=Hashable)
Indices = NDArray[np.int64]

_FEWEST = 2  # images of any split, to compare with each other
MOST = 10_000  # images of a split that a fraction decides: neighbours cost their square
_SHOWN = 5  # skipped files that a message lists


def class_count(data: DataConfig) -> int | None:
    """Classes that `prepare` will find: 0 without labels, None where only the files can tell.

    UserError where `data.classes` names an unknown class, or `data.path` holds no images.
    """
    dataset = entry(data.name)
    if not dataset.labelled:
        return 0
    names: Sequence[str] | None = dataset.class_names
    if dataset.reader == "folder" and data.path is not None:
        path = expanded(data.path)
        with closing(open_files(path)) as files:
            names = layout(files, path).class_names
        if names is None:
            return 0
    if names is None:
        return None
    return len(chosen_classes(names, data, f"data.name: {data.name}") or ())


def too_few_classes(where: str, data: DataConfig, count: int) -> UserError:
    """The mistake of a conditional variant on images of fewer than two classes."""
    own = entry(data.name).reader == "folder"
    place = f"data.path: {data.path}" if own else f"data.name: {data.name}"
    classes = "" if data.classes is None else ", data.classes"
    return UserError(
        where, "images of at least two classes, for the network to be told which",
        f"one class, of {place}{classes}" if count else f"{place} has no labels",
        "set it to false, or choose other data (data.name, data.path, data.classes)",
    )  # fmt: skip


def chosen_classes(
    class_names: Sequence[str] | None, config: DataConfig, place: str
) -> list[int] | None:
    """Labels that `data.classes` picks, ascending; all where it is null; None without labels.

    UserError for an unknown class, or for classes of data that has none.
    """
    if config.classes is None:
        return None if class_names is None else list(range(len(class_names)))
    if class_names is None:
        raise UserError(
            "data.classes", "null, for there are no class folders", repr(config.classes),
            f"set data.classes: null, or sort the images of {place} into one folder a class",
        )  # fmt: skip
    asked = [clean(name) for name in config.classes]  # one spelling, as the folders have it
    unknown = [name for name in asked if name not in class_names]
    if unknown:
        raise UserErrors([
            UserError("data.classes", f"a class of {place}", repr(name), nearest(name, class_names))
            for name in unknown
        ])  # fmt: skip
    return [label for label, name in enumerate(class_names) if name in asked]


def require_possible(config: DataConfig, minimum: Minimum) -> None:
    """Before a download in vain. Raises: UserError: `data.subset` is below what the splits need."""
    needed = sum(_need(split, minimum).count for split in SPLITS)
    if isinstance(config.subset, int) and config.subset < needed:
        keys = [need.key for split in SPLITS if (need := _need(split, minimum)).key]
        raise UserError(
            "data.subset",
            f"at least {needed} images: "
            + ", ".join(f"{_need(split, minimum).count} {split}" for split in SPLITS),
            str(config.subset),
            " or ".join(["raise data.subset", *(f"lower {key}" for key in keys)]),
        )  # fmt: skip


def require(
    splits: NDArray[np.str_], minimum: Minimum, config: DataConfig, pool: Pool, available: int,
    lost: str = "",
) -> None:  # fmt: skip
    """Refuse splits, str [N of the images], that hold too few images for the later stages.

    `available` images are of the chosen classes; `lost` tells what became of others. One UserError
    a split names the keys to change.
    """
    counts = {split: int((splits == split).sum()) for split in SPLITS}
    listed = ", ".join(f"{counts[split]} {split}" for split in SPLITS)
    listed += f"; {lost}" if lost else ""
    errors = []
    for split in SPLITS:
        need = _need(split, minimum)
        if counts[split] < need.count:
            key, remedy = _change(split, config, pool.own_splits, available)
            errors.append(UserError(
                key, f"at least {need.count} {split} images, for {need.purpose}",
                f"{counts[split]} (the splits hold {listed})",
                f"{remedy}, or lower {need.key}" if need.key else remedy,
            ))  # fmt: skip
    if errors:
        raise UserErrors(errors)


@dataclass(frozen=True)
class _Need:
    count: int
    purpose: str
    key: str | None  # to lower; None where nothing asks for more than the fewest


def _need(split: SplitName, minimum: Minimum) -> _Need:
    count: int = getattr(minimum, split)
    if split == "train" and minimum.mixture > count:
        purpose = "two images for each component of the smallest mixture"
        return _Need(minimum.mixture, purpose, "sample.mixture.components")
    if split == "train":
        return _Need(count, "a whole batch of train.batch_size", "train.batch_size")
    if split == "test" and count > _FEWEST:
        return _Need(count, "a subset of metrics.kid_subset_size", "metrics.kid_subset_size")
    return _Need(count, f"the {split} scores", None)


def _change(
    split: SplitName, config: DataConfig, own_splits: frozenset[SplitName], available: int
) -> tuple[str, str]:
    """The key to blame for too few images in `split`, and what would fix it."""
    fraction = f"data.{split}_fraction"
    ways = {}
    if config.subset is not None and subset_count(config.subset, available) < available:
        ways["data.subset"] = "raise data.subset"
    if config.classes is not None:
        ways["data.classes"] = "name more data.classes"
    if split != "train" and split not in own_splits:
        ways[fraction] = f"raise {fraction}"
    if config.name in ("folder", "zip"):
        ways["data.path"] = "add images to data.path"
    ways = ways or {"data.name": "choose a larger dataset as data.name"}
    return next(iter(ways)), ", ".join(ways.values())


def require_all_usable(config: DataConfig, place: str, skipped: Sequence[Skipped]) -> None:
    """Raises: UserError: `data.strict` asks for no file to be skipped, and some were."""
    if config.strict and skipped:
        raise UserError(
            place, "nothing but usable images, for data.strict is true",
            f"{len(skipped)} files that are none ({_few(skipped)})",
            "mend or remove them, or set data.strict: false, which skips and lists them",
        )  # fmt: skip


def _no_usable_image(folder: str, skipped: Sequence[Skipped]) -> UserError:
    return UserError(
        folder, "at least one image", f"none usable of {len(skipped)} files ({_few(skipped)})",
        "put images there, or leave it out: change data.path or data.classes",
    )  # fmt: skip


def _few(skipped: Sequence[Skipped]) -> str:
    listed = "; ".join(f"{item.file}: {item.reason}" for item in skipped[:_SHOWN])
    return listed + (f"; and {len(skipped) - _SHOWN} more" if len(skipped) > _SHOWN else "")


def ranking(names: Sequence[str], seed: int) -> Indices:
    """Indices into `names`, int64 [N], in a random order that depends on names and seed alone."""
    rank = [hashlib.sha256(f"{seed}/{name}".encode()).digest() for name in names]
    return np.array(sorted(range(len(names)), key=rank.__getitem__), dtype=np.int64)


def apportion(total: int, sizes: Mapping[Key, int]) -> dict[Key, int]:
    """Share `total` among strata in proportion to their sizes, by largest remainder.

    Each share is within 1 of its exact proportion, and none is larger than its stratum. Ties go to
    the stratum that `sizes` names first. ValueError where `total` is not in 0..sum of sizes.
    """
    whole = sum(sizes.values())
    if not 0 <= total <= whole:
        raise ValueError(f"cannot take {total} of {whole}")
    shares = {key: total * size // max(1, whole) for key, size in sizes.items()}
    by_remainder = sorted(sizes, key=lambda key: -(total * sizes[key] % max(1, whole)))
    for key in by_remainder[: total - sum(shares.values())]:
        shares[key] += 1
    return shares


def quotas(total: int, sizes: Mapping[Key, int]) -> dict[Key, int]:
    """Share `total` among strata in proportion to their sizes, by the method of Sainte-Lague.

    Unlike by the largest remainder, a larger total never gives a stratum fewer, so that a larger
    subset contains the smaller ones. ValueError where `total` is not in 0..sum of sizes.
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
    if isinstance(subset, float):
        return round_half_up(subset * available)
    return available if subset is None else min(subset, available)


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
    """Split images that stand in random order, stratified; str [N], each of SPLITS.

    Args:
        strata: [N] the class of each image (all 0 where there are no labels).
        own_split: int8 [N], the publishers' split as a position in SPLITS, or None.
        own_splits: the splits that they set apart; for another one the fraction decides.
        test_fraction: of all images, at most MOST.
        validation_fraction: of the images that are not test, at most MOST.
    """
    classes = np.asarray(strata, dtype=np.int64)
    own = np.zeros(len(classes), dtype=np.int8) if own_split is None else own_split
    splits = np.array(SPLITS, dtype="<U10")[own]
    for split, fraction in (("test", test_fraction), ("validation", validation_fraction)):
        if split not in own_splits:
            rest = np.flatnonzero(splits == "train")
            values, counts = np.unique(classes[rest], return_counts=True)
            sizes = dict(zip(values.tolist(), counts.tolist(), strict=True))
            shares = apportion(min(MOST, round_half_up(fraction * len(rest))), sizes)
            splits[rest[leading(classes[rest], shares)]] = split
    return splits


def leading(values: Indices, wanted: Mapping[int, int]) -> NDArray[np.bool_]:
    """Which of `values`, int64 [N], are among the first `wanted[value]` of theirs: bool [N]"""
    known, counts = np.unique(values, return_counts=True)
    place = np.arange(len(values)) - np.repeat(np.cumsum(counts) - counts, counts)
    share = np.repeat([wanted.get(value, 0) for value in known.tolist()], counts)
    found = np.zeros(len(values), dtype=np.bool_)
    found[np.argsort(values, kind="stable")[place < share]] = True
    return found


def drop_straddling(splits: NDArray[np.str_], identities: Sequence[Hashable]) -> NDArray[np.bool_]:
    """Which images stay so that no two equal ones lie in different splits: bool [N].

    Of equal images those in test stay, then those in validation; equal images within one split
    all stay. `splits` is as of `assign_splits`, `identities` [N] are equal for equal images alone.
    """
    stays = np.ones(len(splits), dtype=np.bool_)
    taken: set[Hashable] = set()
    for split in ("test", "validation", "train"):
        members = np.flatnonzero(splits == split).tolist()
        for index in members:
            stays[index] = identities[index] not in taken
        taken |= {identities[index] for index in members}
    return stays


@dataclass(frozen=True)
class Plan:
    """Which images are wanted, before any is decoded."""

    order: Indices  # [n] indices into the pool, of the chosen classes, in random order
    strata: Indices  # [n] 3 times the class, plus the publishers' own split, in that order
    quotas: dict[int, int]  # stratum -> how many images of it are wanted
    classes: Indices  # [N of the pool], 0..K-1 among the chosen classes; -1 for others
    class_names: list[str] | None  # of the chosen classes


def make_plan(pool: Pool, config: DataConfig, progress: Progress) -> Plan:
    """Rank the images of the chosen classes, and share the subset out among them."""
    kept = chosen_classes(pool.class_names, config, pool.place)
    classes = np.zeros(len(pool.names), dtype=np.int64)
    if pool.labels is not None and pool.class_names is not None and kept is not None:
        position = np.full(len(pool.class_names), -1, dtype=np.int64)
        position[kept] = np.arange(len(kept))
        classes = position[pool.labels]
    order = ranking(pool.names, config.seed)
    order = order[classes[order] >= 0]
    strata = (len(SPLITS) * classes + (0 if pool.own_split is None else pool.own_split))[order]
    values, sizes = np.unique(strata, return_counts=True)
    available = dict(zip(values.tolist(), sizes.tolist(), strict=True))
    if isinstance(config.subset, int) and config.subset > len(order):
        progress.note(f"data.subset asks for {config.subset} images; all {len(order)} are taken")
    return Plan(
        order=order, strata=strata, classes=classes,
        quotas=quotas(subset_count(config.subset, len(order)), available),
        class_names=None if kept is None else [(pool.class_names or ())[label] for label in kept],
    )  # fmt: skip


def require_usable(plan: Plan, pool: Pool) -> None:
    """Refuse a folder of broken files before decoding: one usable image a class is enough."""
    wanted = sorted(stratum for stratum, count in plan.quotas.items() if count)
    broken: dict[int, list[Skipped]] = {stratum // len(SPLITS): [] for stratum in wanted}
    missing = set(broken)
    for index, label in zip(plan.order.tolist(), plan.classes[plan.order].tolist(), strict=True):
        if label in missing:
            try:
                pool.image(index)
                missing.remove(label)
            except UnusableImageError as error:
                broken[label].append(Skipped(pool.names[index], str(error)))
        if not missing:
            return
    if plan.class_names is None or len(missing) == len(broken):
        everything = [skipped for found in broken.values() for skipped in found]
        raise _no_usable_image(pool.place, everything)
    raise UserErrors([
        _no_usable_image(f"{pool.place}/{plan.class_names[label]}", broken[label])
        for label in sorted(missing)
    ])  # fmt: skip
