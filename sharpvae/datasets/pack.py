"""The whole of `prepare`: choose, decode, resize, split, and write the packed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpvae.config.schema import DataConfig
from sharpvae.config.stage_files import Minimum
from sharpvae.datasets.catalogue import Entry, entry
from sharpvae.datasets.decode import UnusableImageError
from sharpvae.datasets.packed import (
    SPLITS,
    Card,
    Skipped,
    SplitName,
    create_split,
    file_hash,
    load_split,
    write_card,
    write_labels,
)
from sharpvae.datasets.plan import Plan, make_plan, require_enough, require_usable, split_strata
from sharpvae.datasets.progress import Progress
from sharpvae.datasets.readers import Pool, open_pool
from sharpvae.datasets.requirements import chosen_classes, require, require_possible
from sharpvae.datasets.resize import fit_square
from sharpvae.datasets.scratch import Scratch
from sharpvae.datasets.selection import drop_straddling
from sharpvae.datasets.sheet import contact_sheet

_CHUNK = 1024  # images held in memory at a time
_REPORT = 32  # images between two reports of progress


def prepare(
    config: DataConfig, minimum: Minimum, raw: Path, directory: Path, progress: Progress
) -> Card:
    """Write the packed form of the configured dataset into `directory`.

    Args:
        config: the `data` section.
        minimum: how few images of each split are enough.
        raw: where downloads are kept.
        directory: an existing folder; docs/architecture.md says what it then holds.
        progress: is told of downloads and decoding.

    Returns:
        the card, as written.

    Raises:
        UserError: whatever the user can mend about the data; see `readers` and `requirements`.
    """
    dataset = entry(config.name)
    require_possible(config, minimum)
    if dataset.class_names is not None:
        chosen_classes(dataset.class_names, config, f"data.name: {dataset.name}")
    with (
        Scratch(directory / ".pixels", config.image_size) as scratch,
        open_pool(dataset, config, raw, progress) as pool,
    ):
        plan = make_plan(pool, config, progress)
        require_usable(plan, pool)
        require_enough(plan, pool, config, minimum)
        chosen, skipped = _decode(plan, pool, config, scratch, progress)
        splits = split_strata(plan.strata[chosen], pool, config)
        stays = drop_straddling(splits, scratch.digests)
        members = {split: np.flatnonzero((splits == split) & stays) for split in SPLITS}
        counts = {split: len(rows) for split, rows in members.items()}
        lost = f"{len(skipped)} files skipped, {int((~stays).sum())} duplicates removed"
        require(counts, minimum, config, pool.is_test is not None, lost)
        _write(members, chosen, plan, scratch, directory)
    card = _card(dataset, pool, plan, config, directory, int((~stays).sum()), skipped)
    write_card(directory, card)
    contact_sheet(card, load_split(directory, "train")).save(directory / "sheet.png")
    return card


def _decode(
    plan: Plan, pool: Pool, config: DataConfig, scratch: Scratch, progress: Progress
) -> tuple[NDArray[np.int64], list[Skipped]]:
    """Decode and resize until every quota is filled; another image stands in for a broken one.

    Returns:
        int64 [n]: the index into the pool of each image in `scratch`; and what was skipped.
    """
    left, total = dict(plan.quotas), sum(plan.quotas.values())
    chosen: list[int] = []
    skipped: list[Skipped] = []
    for index, stratum in plan.wanted():
        if left[stratum] == 0:
            continue
        try:
            image = fit_square(pool.image(index), config.image_size, config.fit)
        except UnusableImageError as error:
            skipped.append(Skipped(pool.names[index], str(error)))
            continue
        scratch.append(image)
        left[stratum] -= 1
        chosen.append(index)
        if len(chosen) % _REPORT == 0 or len(chosen) == total:
            progress.step("decoding", len(chosen), total)
    return np.array(chosen, dtype=np.int64), sorted(skipped, key=lambda item: item.file)


def _write(
    members: dict[SplitName, NDArray[np.int64]],
    chosen: NDArray[np.int64],
    plan: Plan,
    scratch: Scratch,
    directory: Path,
) -> None:
    """Images and labels of each split; `members` are indices into `scratch` and `chosen`."""
    for split, rows in members.items():
        shape = (len(rows), scratch.size, scratch.size, scratch.channels)
        images = create_split(directory, split, shape)
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            images[start : start + len(chunk)] = scratch.gather(chunk)
        del images  # closes the memory map
        if plan.class_names is not None:
            write_labels(directory, split, plan.classes[chosen[rows]])


def _card(
    dataset: Entry,
    pool: Pool,
    plan: Plan,
    config: DataConfig,
    directory: Path,
    duplicates: int,
    skipped: list[Skipped],
) -> Card:
    splits = {split: load_split(directory, split) for split in SPLITS}
    mean, std = channel_statistics(splits["train"].images)
    names = plan.class_names
    return Card(
        name=dataset.name,
        title=pool.title,
        licence=dataset.licence,
        citation=dataset.citation,
        source=pool.source,
        image_size=config.image_size,
        channels=splits["train"].images.shape[3],
        class_names=names,
        counts={split: len(data.images) for split, data in splits.items()},
        class_counts=None
        if names is None
        else {
            split: np.bincount(data.labels, minlength=len(names)).tolist()
            for split, data in splits.items()
            if data.labels is not None
        },
        sha256={split: file_hash(directory / f"{split}.npy") for split in SPLITS},
        mean=mean,
        std=std,
        fit=config.fit,
        subset=config.subset,
        classes=config.classes,
        seed=config.seed,
        duplicates_removed=duplicates,
        skipped=[*pool.skipped, *skipped],
    )


def channel_statistics(images: NDArray[np.uint8]) -> tuple[list[float], list[float]]:
    """Mean and (population) standard deviation of each channel, in [0, 1].

    Sums are exact integers, so the result depends on no order of addition.

    Args:
        images: uint8 [N, H, W, C], N at least 1; read in chunks.
    """
    count, channels = images[..., 0].size, images.shape[3]
    sums, squares = [0] * channels, [0] * channels
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK]
        for channel in range(channels):
            levels = np.bincount(chunk[..., channel].ravel(), minlength=256).tolist()
            sums[channel] += sum(level * times for level, times in enumerate(levels))
            squares[channel] += sum(level**2 * times for level, times in enumerate(levels))
    variances = [count * q - s**2 for s, q in zip(sums, squares, strict=True)]
    mean = [s / (255 * count) for s in sums]
    return mean, [variance**0.5 / (255 * count) for variance in variances]
