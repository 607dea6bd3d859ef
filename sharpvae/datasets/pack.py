"""The whole of `prepare`: choose, decode, resize, split, and write the packed form."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpvae.config.schema import DataConfig
from sharpvae.config.stage_files import Minimum
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.decode import Pixels
from sharpvae.datasets.decoding import decoded
from sharpvae.datasets.disk import unwritable
from sharpvae.datasets.duplicates import identities
from sharpvae.datasets.entry import Entry
from sharpvae.datasets.packed import (
    SPLITS,
    Card,
    Skipped,
    SplitName,
    load_split,
    write_card,
    write_factors,
    write_images,
    write_labels,
)
from sharpvae.datasets.parallel import on_all_cores
from sharpvae.datasets.plan import Plan, make_plan, require_enough, require_usable, split_strata
from sharpvae.datasets.pool import Pool
from sharpvae.datasets.progress import Progress
from sharpvae.datasets.readers import open_pool
from sharpvae.datasets.requirements import (
    chosen_classes,
    require,
    require_all_usable,
    require_possible,
)
from sharpvae.datasets.scratch import Scratch
from sharpvae.datasets.selection import drop_straddling
from sharpvae.datasets.sheet import contact_sheet
from sharpvae.datasets.statistics import Glance, Statistics, glance, summary

_CHUNK = 1 << 21  # bytes of images that a core holds at a time
_FULL = (errno.ENOSPC, errno.EDQUOT)


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
    try:
        with (
            closing(Scratch(directory / ".pixels", config.image_size)) as scratch,
            open_pool(dataset, config, raw, progress) as pool,
        ):
            return _pack(dataset, pool, config, minimum, scratch, directory, progress)
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise unwritable(directory.parent, "the packed images", 0, error) from None


def _pack(
    dataset: Entry,
    pool: Pool,
    config: DataConfig,
    minimum: Minimum,
    scratch: Scratch,
    directory: Path,
    progress: Progress,
) -> Card:
    plan = make_plan(pool, config, progress)
    if config.strict:
        require_all_usable(pool.place, pool.skipped)
    require_usable(plan, pool)
    require_enough(plan, pool, config, minimum)
    taken = _decode(plan, pool, config, scratch, progress)
    splits = split_strata(plan.strata[taken.chosen], pool, config)
    same = identities(scratch.fingerprints, scratch.content)
    stays = drop_straddling(splits, [same[row] for row in taken.rows])
    duplicates = int((~stays).sum())
    members = {split: np.flatnonzero((splits == split) & stays) for split in SPLITS}
    counts = {split: len(rows) for split, rows in members.items()}
    lost = f"{len(taken.skipped)} files skipped, {duplicates} duplicates removed"
    require(counts, minimum, config, pool.own_splits, lost)
    written = _write(members, taken, plan, pool, scratch, directory)
    card = _card(dataset, pool, plan, config, written, duplicates, taken.skipped)
    write_card(directory, card)
    contact_sheet(card, load_split(directory, "train")).save(
        directory / "sheet.png", compress_level=1
    )
    return card


@dataclass(frozen=True)
class _Written:
    """What went to disk: labels are all 0 where there are none; `shape` is [H, W, C]."""

    labels: dict[SplitName, NDArray[np.int64]]
    sha256: dict[str, str]
    shape: tuple[int, int, int]
    statistics: Statistics


def _write(
    members: dict[SplitName, NDArray[np.int64]],
    taken: _Taken,
    plan: Plan,
    pool: Pool,
    scratch: Scratch,
    directory: Path,
) -> _Written:
    """Images, labels and factors of each split; `members` are positions in `taken`."""
    shape = (scratch.size, scratch.size, scratch.channels)
    labels: dict[SplitName, NDArray[np.int64]] = {}
    sha256: dict[str, str] = {}
    glances: dict[SplitName, list[Glance]] = {}
    for split, positions in members.items():
        seen = glances[split] = []
        chunks = _chunks(scratch, taken.rows[positions], split, seen)
        sha256[split] = write_images(directory, split, (len(positions), *shape), chunks)
        chosen = taken.chosen[positions]
        labels[split] = plan.classes[chosen]
        if plan.class_names is not None:
            write_labels(directory, split, labels[split])
        if pool.factors is not None:
            write_factors(directory, split, pool.factors[chosen])
    return _Written(labels, sha256, shape, summary(glances["train"], glances["test"]))


def _chunks(
    scratch: Scratch, rows: NDArray[np.int64], split: SplitName, seen: list[Glance]
) -> Iterator[NDArray[np.uint8]]:
    """uint8 [n, H, W, C] a few at a time; what `glance` makes of each goes to `seen`."""

    count = max(1, _CHUNK // (scratch.size**2 * scratch.channels))

    def look(start: int) -> tuple[NDArray[np.uint8], Glance]:
        images = scratch.gather(rows[start : start + count])
        return images, glance(images, sharpness=split == "test")

    for images, found in on_all_cores(look, range(0, len(rows), count)):
        seen.append(found)
        yield images


def _card(
    dataset: Entry,
    pool: Pool,
    plan: Plan,
    config: DataConfig,
    written: _Written,
    duplicates: int,
    skipped: list[Skipped],
) -> Card:
    names = plan.class_names
    return Card(
        name=dataset.name,
        title=pool.title,
        licence=dataset.licence,
        citation=dataset.citation,
        source=pool.source,
        image_size=config.image_size,
        channels=written.shape[2],
        class_names=names,
        counts={split: len(values) for split, values in written.labels.items()},
        class_counts=None
        if names is None
        else {
            split: np.bincount(values, minlength=len(names)).tolist()
            for split, values in written.labels.items()
        },
        factor_names=None if pool.factor_names is None else list(pool.factor_names),
        sha256=written.sha256,
        **asdict(written.statistics),
        fit=config.fit,
        subset=config.subset,
        classes=config.classes,
        seed=config.seed,
        duplicates_removed=duplicates,
        skipped=[*pool.skipped, *skipped],
    )


@dataclass(frozen=True)
class _Taken:
    """What was decoded.

    Attributes:
        chosen: int64 [n]: indices into the pool, best rank first.
        rows: int64 [n]: where each lies in the scratch file.
        skipped: the files that were no usable image, by name.
    """

    chosen: NDArray[np.int64]
    rows: NDArray[np.int64]
    skipped: list[Skipped]


def _decode(
    plan: Plan, pool: Pool, config: DataConfig, scratch: Scratch, progress: Progress
) -> _Taken:
    """Decode and resize until every quota is filled; another image stands in for a broken one.

    A round decodes as many of each stratum as it lacks, so that nothing is decoded in vain.
    """
    left, total = dict(plan.quotas), sum(plan.quotas.values())
    strata = plan.strata[plan.order]
    asked, waiting = _next_round(np.arange(len(plan.order)), strata, left)
    ranks: list[int] = []
    skipped: list[Skipped] = []
    while len(asked):
        indices = plan.order[asked].tolist()
        results = decoded(pool.image, indices, config.image_size, config.fit)
        rank = iter(asked.tolist())
        for chunk in results:
            good: list[Pixels] = []
            for item, its_rank in zip(chunk, rank, strict=False):
                if item.pixels is None:
                    skipped.append(Skipped(pool.names[item.index], item.reason))
                else:
                    good.append(item.pixels)
                    ranks.append(its_rank)
                    left[int(strata[its_rank])] -= 1
            scratch.append(good, [item.fingerprint for item in chunk if item.pixels is not None])
            progress.step("decoding", len(ranks), total)
        if config.strict:
            require_all_usable(pool.place, skipped)
        asked, waiting = _next_round(waiting, strata, left)
    taken = np.array(ranks, dtype=np.int64)
    rows = np.argsort(taken)
    return _Taken(plan.order[taken[rows]], rows, sorted(skipped, key=lambda item: item.file))


def _next_round(
    waiting: NDArray[np.int64], strata: NDArray[np.int64], left: dict[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The best of each stratum, as many as it lacks, and those that go on waiting.

    Args:
        waiting: ranks, best first.
        strata: rank -> stratum.
        left: stratum -> how many images it lacks.
    """
    asked = np.zeros(len(waiting), dtype=np.bool_)
    for stratum, lacking in left.items():
        asked[np.flatnonzero(strata[waiting] == stratum)[:lacking]] = True
    return waiting[asked], waiting[~asked]
