"""Which images are wanted and whether they suffice, settled before the bulk is decoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from sharpvae.config.schema import DataConfig
from sharpvae.config.stage_files import Minimum
from sharpvae.datasets.decode import UnusableImageError
from sharpvae.datasets.packed import SPLITS, Skipped, SplitName
from sharpvae.datasets.pool import Pool
from sharpvae.datasets.progress import Progress
from sharpvae.datasets.requirements import chosen_classes, no_usable_image, require
from sharpvae.datasets.selection import assign_splits, quotas, ranking, subset_count
from sharpvae.errors import UserErrors


@dataclass(frozen=True)
class Plan:
    """Which images are wanted, before any is decoded.

    Attributes:
        order: int64, indices into the pool, of the chosen classes, in random order.
        quotas: stratum -> how many images of it are wanted.
        classes: int64 [N of the pool], 0..K-1 among the chosen classes; -1 for others.
        class_names: of the chosen classes, or None.
        strata: int64 [N of the pool]: thrice the class, plus the publishers' own split.
    """

    order: NDArray[np.int64]
    quotas: dict[int, int]
    classes: NDArray[np.int64]
    class_names: list[str] | None
    strata: NDArray[np.int64]

    def wanted(self) -> Iterator[tuple[int, int]]:
        """(index into the pool, its stratum) of each candidate, best first, spares included."""
        return zip(self.order.tolist(), self.strata[self.order].tolist(), strict=True)


def make_plan(pool: Pool, config: DataConfig, progress: Progress) -> Plan:
    """Rank the images of the chosen classes, and share the subset out among them.

    Raises:
        UserError: `data.classes` names a class that is not there.
    """
    kept = chosen_classes(pool.class_names, config, pool.place)
    classes = np.zeros(len(pool.names), dtype=np.int64)
    if pool.labels is not None and pool.class_names is not None and kept is not None:
        position = np.full(len(pool.class_names), -1, dtype=np.int64)
        position[kept] = np.arange(len(kept))
        classes = position[pool.labels]
    strata = len(SPLITS) * classes + (0 if pool.own_split is None else pool.own_split)
    order = ranking(pool.names, config.seed)
    order = order[classes[order] >= 0]
    values, sizes = np.unique(strata[order], return_counts=True)
    available = dict(zip(values.tolist(), sizes.tolist(), strict=True))
    if isinstance(config.subset, int) and config.subset > len(order):
        progress.note(f"data.subset asks for {config.subset} images; all {len(order)} are taken")
    return Plan(
        order=order,
        quotas=quotas(subset_count(config.subset, len(order)), available),
        classes=classes,
        class_names=None if kept is None else [(pool.class_names or ())[label] for label in kept],
        strata=strata,
    )


def require_enough(plan: Plan, pool: Pool, config: DataConfig, minimum: Minimum) -> None:
    """Refuse too small a dataset before decoding it, as if every file were usable."""
    strata = np.repeat(list(plan.quotas), list(plan.quotas.values())).astype(np.int64)
    splits = split_strata(strata, pool, config)
    counts: dict[SplitName, int] = {split: int((splits == split).sum()) for split in SPLITS}
    require(counts, minimum, config, pool.own_splits)


def require_usable(plan: Plan, pool: Pool) -> None:
    """Refuse a folder of broken files before decoding all others: one image a class will do."""
    searched: dict[int, list[Skipped]] = {
        _class(stratum): [] for stratum in sorted(plan.quotas) if plan.quotas[stratum]
    }
    missing = set(searched)
    for index, stratum in plan.wanted():
        if _class(stratum) in missing:
            try:
                pool.image(index)
                missing.remove(_class(stratum))
            except UnusableImageError as error:
                searched[_class(stratum)].append(Skipped(pool.names[index], str(error)))
        if not missing:
            return
    broken = [skipped for label, skipped in searched.items() if label in missing]
    if plan.class_names is None or len(missing) == len(searched):
        raise no_usable_image(pool.place, list(chain.from_iterable(broken)))
    raise UserErrors([
        no_usable_image(f"{pool.place}/{plan.class_names[label]}", searched[label])
        for label in sorted(missing)
    ])  # fmt: skip


def split_strata(strata: NDArray[np.int64], pool: Pool, config: DataConfig) -> NDArray[np.str_]:
    """The split of images of these strata, which stand in random order; str [n]"""
    return assign_splits(
        strata // len(SPLITS),
        None if pool.own_split is None else (strata % len(SPLITS)).astype(np.int8),
        pool.own_splits,
        config.test_fraction,
        config.validation_fraction,
    )


def _class(stratum: int) -> int:
    return stratum // len(SPLITS)
