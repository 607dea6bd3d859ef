"""From a dataset to the packed form."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sharpvae.core.console import Progress
from sharpvae.core.files import unwritable
from sharpvae.datasets.catalogue import Entry, entry
from sharpvae.datasets.choose import (
    Plan,
    chosen_classes,
    drop_straddling,
    identities,
    make_plan,
    require,
    require_all_usable,
    require_enough,
    require_possible,
    require_usable,
    split_strata,
)
from sharpvae.datasets.config import DataConfig, Minimum
from sharpvae.datasets.decode import Pixels, Pool, decoded, on_all_cores
from sharpvae.datasets.readers import open_pool
from sharpvae.images.packed import (
    SPLITS,
    Card,
    Skipped,
    Split,
    SplitName,
    load_split,
    write_card,
    write_factors,
    write_images,
    write_labels,
)
from sharpvae.scoring.measures import laplacian_variance

_AT_ONCE = 512  # buffers in one call; systems take 1024


class Scratch:
    """Square images appended to one file; grey ones take a third of the room of RGB ones.

    A context manager: on leaving, the file is removed.

    Attributes:
        size: height and width.
        fingerprints: [N] of the pixels of each image; see `duplicates`.
        channels: the most that any image has, 1 or 3; 1 when there is none.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self.size = path, size
        self._file = path.open("w+b")
        self._offsets: list[int] = [0]  # where each image starts, and where the next one will
        self.fingerprints: list[int] = []
        self.channels = 1

    def close(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def __len__(self) -> int:
        return len(self.fingerprints)

    def append(self, images: Sequence[Pixels], fingerprints: Sequence[int]) -> None:
        """Add contiguous images of the size given at the start, with their fingerprints."""
        write_all(self._file.fileno(), images)
        for image in images:
            self._offsets.append(self._offsets[-1] + image.nbytes)
            self.channels = max(self.channels, image.shape[2])
        self.fingerprints += fingerprints
        self.__dict__.pop("_starts", None)
        self.__dict__.pop("_sizes", None)

    def content(self, row: int) -> bytes:
        """The bytes of one image, as many as it has."""
        return os.pread(self._file.fileno(), int(self._sizes[row]), int(self._starts[row]))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.array(self._offsets[:-1], dtype=np.int64)

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        return np.array(self._offsets[1:], dtype=np.int64) - self._starts

    def gather(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [len(indices), H, W, C] with `channels` channels; grey fills all of them.

        Safe to call from several threads.
        """
        images = np.empty((len(indices), self.size, self.size, self.channels), dtype=np.uint8)
        rows = np.asarray(indices, dtype=np.int64)
        starts, sizes = self._starts[rows], self._sizes[rows]
        # Neighbours in the file that go to neighbouring rows are read in one piece.
        breaks = np.flatnonzero((starts[1:] != starts[:-1] + sizes[:-1]) | (np.diff(sizes) != 0))
        edges = [0, *(breaks + 1).tolist(), len(rows)] if len(rows) else []
        for first, last in pairwise(edges):
            channels = int(sizes[first]) // self.size**2
            run = images[first:last]
            start, handle = int(starts[first]), self._file.fileno()
            if channels == self.channels:
                buffer = run.data.cast("B")
                while len(buffer):  # the system may give less than is asked for
                    count = os.preadv(handle, [buffer], start)
                    if count == 0:
                        raise OSError(errno.EIO, "the scratch file was cut short")
                    buffer, start = buffer[count:], start + count
            else:
                data = os.pread(handle, (last - first) * int(sizes[first]), start)
                shape = (last - first, self.size, self.size, channels)
                run[:] = np.frombuffer(data, dtype=np.uint8).reshape(shape)
        return images


def write_all(handle: int, images: Sequence[Pixels]) -> None:
    """Write contiguous arrays one after the other, without a copy that joins them.

    Raises:
        OSError: the disk is full, or cannot be written to.
    """
    left = [image.data.cast("B") for image in images]
    while left:
        count = os.writev(handle, left[:_AT_ONCE])
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if left:  # a full disk takes a part first, and says so when asked again
            left[0] = left[0][count:]


_COLUMNS, _MAX_ROWS = 10, 20
_TILE, _LARGEST, _GAP, _MARGIN, _TITLE = 72, 96, 6, 24, 64  # pixels
_PAPER, _INK, _FAINT = (250, 250, 248), (32, 33, 36), (110, 113, 118)
_LONGEST = 18  # characters of a class name


def contact_sheet(card: Card, train: Split) -> Image.Image:
    """The first training images, which stand in random order.

    Returns:
        an RGB image: ten images a row, one row a class (at most 20), ten rows without labels.
    """
    rows = _rows(card, train)
    title, small = ImageFont.load_default(20), ImageFont.load_default(13)
    left = _MARGIN
    if card.class_names:
        names = [_short(name) for name, _ in rows]
        left += round(max(small.getlength(name) for name in names)) + 2 * _GAP
    side = _side(card.image_size)
    step = side + _GAP
    width = left + _COLUMNS * step - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, _TITLE + len(rows) * step - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 14), card.title, _INK, title)
    draw.text((_MARGIN, 40), _caption(card, len(rows)), _FAINT, small)
    for row, (name, indices) in enumerate(rows):
        top = _TITLE + row * step
        if card.class_names:
            draw.text((left - 2 * _GAP, top + side / 2), _short(name), _INK, small, anchor="rm")
        for column, index in enumerate(indices):
            sheet.paste(_tile(train.images[index], side), (left + column * step, top))
    return sheet


def _rows(card: Card, train: Split) -> list[tuple[str, NDArray[np.int64]]]:
    """Name and indices of each row."""
    if train.labels is None or card.class_names is None:
        order = np.arange(min(len(train.images), _COLUMNS * _COLUMNS))
        starts = range(0, len(order), _COLUMNS)
        return [("", order[start : start + _COLUMNS]) for start in starts]
    return [
        (name, np.flatnonzero(train.labels == label)[:_COLUMNS])
        for label, name in enumerate(card.class_names[:_MAX_ROWS])
    ]


def _caption(card: Card, rows: int) -> str:
    kind = "grey" if card.channels == 1 else "RGB"
    counts = ", ".join(f"{count} {split}" for split, count in card.counts.items())
    caption = f"{card.image_size} x {card.image_size} pixels, {kind}  |  {counts}"
    if card.class_names and len(card.class_names) > rows:
        caption += f"  |  {rows} of {len(card.class_names)} classes"
    return caption


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def _side(image_size: int) -> int:
    """About 72 pixels, and a whole multiple where images are small: pixels stay square."""
    return min(_LARGEST, image_size * max(1, round(_TILE / image_size)))


def _tile(image: NDArray[np.uint8], side: int) -> Image.Image:
    """uint8 [H, W, C] => RGB of `side` x `side`; enlarged pixels stay hard"""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else np.asarray(image))
    enlarged = image.shape[0] < side
    kind = Image.Resampling.NEAREST if enlarged else Image.Resampling.BICUBIC
    return picture.convert("RGB").resize((side, side), kind)


class Moments:
    """Sums over images that pass by, exact integers, so that no order of addition matters."""

    def __init__(self, channels: int) -> None:
        self.pixels = 0  # of one channel
        self.sums = np.zeros(channels, dtype=np.uint64)
        self.squares = np.zeros(channels, dtype=np.uint64)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Add uint8 [n, H, W, C]."""
        channels = images.shape[3]
        # Whole rows of the image are added at once, a few images at a time: it stays in cache,
        # and 32 bits hold a column of 65 thousand squares.
        for start in range(0, len(images), 16):
            rows = images[start : start + 16].reshape(-1, images.shape[2] * channels)
            squares = np.square(rows, dtype=np.uint16)
            self.sums += _by_channel(rows.sum(axis=0, dtype=np.uint32), channels)
            self.squares += _by_channel(squares.sum(axis=0, dtype=np.uint32), channels)
        self.pixels += images[..., 0].size

    @classmethod
    def total(cls, parts: Sequence[Moments]) -> Moments:
        """Of all images of all parts."""
        whole = cls(len(parts[0].sums))
        for part in parts:
            whole.pixels += part.pixels
            whole.sums += part.sums
            whole.squares += part.squares
        return whole

    def mean(self) -> list[float]:
        """Of each channel, in [0, 1]."""
        return [int(total) / (255 * self.pixels) for total in self.sums]

    def std(self) -> list[float]:
        """Population standard deviation of each channel, in [0, 1]."""
        pairs = zip(self.sums.tolist(), self.squares.tolist(), strict=True)
        variances = [self.pixels * square - total**2 for total, square in pairs]
        return [variance**0.5 / (255 * self.pixels) for variance in variances]


def _by_channel(columns: NDArray[np.uint32], channels: int) -> NDArray[np.uint64]:
    """[W * C] => [C]"""
    return columns.reshape(-1, channels).sum(axis=0, dtype=np.uint64)


@dataclass(frozen=True)
class Statistics:
    """Fields of the card that the images themselves decide."""

    mean: list[float]
    std: list[float]
    sharpness: float
    brightness: float


@dataclass(frozen=True)
class Glance:
    """Statistics of a few images, to be added up."""

    moments: Moments
    sharpness: float  # summed over images
    count: int


def glance(images: NDArray[np.uint8], sharpness: bool) -> Glance:
    """Look at uint8 [n, H, W, C]; `sharpness` costs ten times the moments."""
    moments = Moments(images.shape[3])
    moments.add(images)
    total = float(laplacian_variance(images).sum()) if sharpness else 0.0
    return Glance(moments, total, len(images))


def summary(train: Sequence[Glance], test: Sequence[Glance]) -> Statistics:
    """The statistics of the splits; the glances at test have taken the sharpness too."""
    mean = Moments.total([part.moments for part in test]).mean()
    whole = Moments.total([part.moments for part in train])
    return Statistics(
        mean=whole.mean(),
        std=whole.std(),
        sharpness=sum(part.sharpness for part in test) / sum(part.count for part in test),
        brightness=sum(mean) / len(mean),
    )


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
