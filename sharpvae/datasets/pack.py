"""From a dataset to the packed form."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sharpvae.core.console import Progress
from sharpvae.core.files import expanded
from sharpvae.datasets import choose
from sharpvae.datasets.catalogue import Entry, entry
from sharpvae.datasets.config import DataConfig, Minimum
from sharpvae.datasets.decode import Pixels, decoded
from sharpvae.datasets.files import Pool, clean
from sharpvae.datasets.readers import open_pool
from sharpvae.images import packed
from sharpvae.images.packed import SPLITS, Card, Skipped, Split

_COLUMNS, _MAX_ROWS = 10, 20  # of the contact sheet
_TILE, _LARGEST, _GAP, _MARGIN, _TITLE = 72, 96, 6, 24, 64  # pixels
_PAPER, _INK, _FAINT = (250, 250, 248), (32, 33, 36), (110, 113, 118)
_LONGEST = 18  # characters of a class name
_CHUNK = 1 << 21  # bytes of images that are held at a time


class Scratch:
    """Square images in one file, removed on `close`; grey ones take a third of the room of RGB."""

    def __init__(self, path: Path, size: int) -> None:
        self._path, self.size = path, size
        self._file = path.open("w+b", buffering=_CHUNK)
        self._starts: list[int] = [0]  # of each image, and of the next one
        self.digests: list[bytes] = []  # the SHA-256 of each image
        self.channels = 1  # the most that any image has, 1 or 3

    def close(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def append(self, image: Pixels, digest: bytes) -> None:
        """Add a contiguous image of `size`; OSError on a full disk."""
        self._file.write(image.data)
        self._starts.append(self._starts[-1] + image.nbytes)
        self.channels = max(self.channels, image.shape[2])
        self.digests.append(digest)

    def gather(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [len(rows), H, W, C] with `channels` channels; grey fills all of them."""
        self._file.flush()
        images = np.empty((len(rows), self.size, self.size, self.channels), dtype=np.uint8)
        for image, row in zip(images, rows.tolist(), strict=True):
            start, end = self._starts[row : row + 2]
            data = os.pread(self._file.fileno(), end - start, start)
            if len(data) < end - start:
                raise OSError(errno.EIO, "the scratch file was cut short")
            image[:] = np.frombuffer(data, dtype=np.uint8).reshape(self.size, self.size, -1)
        return images


def contact_sheet(card: Card, train: Split) -> Image.Image:
    """The first training images, which stand in random order, as an RGB image.

    Ten images a row, one row a class (at most 20), ten rows without labels.
    """
    rows = _rows(card, train)
    title, small = ImageFont.load_default(20), ImageFont.load_default(13)
    left = _MARGIN
    if card.class_names:
        left += round(max(small.getlength(name) for name, _ in rows)) + 2 * _GAP
    # A whole multiple where images are small: pixels stay square.
    side = min(_LARGEST, card.image_size * max(1, round(_TILE / card.image_size)))
    step = side + _GAP
    width = left + _COLUMNS * step - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, _TITLE + len(rows) * step - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 14), card.title, _INK, title)
    draw.text((_MARGIN, 40), _caption(card), _FAINT, small)
    for row, (name, indices) in enumerate(rows):
        top = _TITLE + row * step
        draw.text((left - 2 * _GAP, top + side / 2), name, _INK, small, anchor="rm")
        for column, index in enumerate(indices):
            sheet.paste(_tile(train.images[index], side), (left + column * step, top))
    return sheet


def _rows(card: Card, train: Split) -> list[tuple[str, NDArray[np.int64]]]:
    """Name, shortened, and indices of each row."""
    if train.labels is None or card.class_names is None:
        order = np.arange(min(len(train.images), _COLUMNS * _COLUMNS))
        starts = range(0, len(order), _COLUMNS)
        return [("", order[start : start + _COLUMNS]) for start in starts]
    return [
        (
            name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "...",
            np.flatnonzero(train.labels == label)[:_COLUMNS],
        )
        for label, name in enumerate(card.class_names[:_MAX_ROWS])
    ]


def _caption(card: Card) -> str:
    kind = "grey" if card.channels == 1 else "RGB"
    counts = ", ".join(f"{count} {split}" for split, count in card.counts.items())
    caption = f"{card.image_size} x {card.image_size} pixels, {kind}  |  {counts}"
    classes = len(card.class_names or ())
    return caption + (f"  |  {_MAX_ROWS} of {classes} classes" if classes > _MAX_ROWS else "")


def _tile(image: NDArray[np.uint8], side: int) -> Image.Image:
    """uint8 [H, W, C] => RGB of `side` x `side`; enlarged pixels keep sharp edges"""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else np.asarray(image))
    enlarged = image.shape[0] < side
    kind = Image.Resampling.NEAREST if enlarged else Image.Resampling.BICUBIC
    return picture.convert("RGB").resize((side, side), kind)


def prepare(
    config: DataConfig, minimum: Minimum, raw: Path, directory: Path, progress: Progress
) -> Card:
    """Write the packed form of the configured dataset into `directory`; the card, as written.

    Args:
        minimum: how few images of each split are enough.
        raw: where downloads are kept.
        directory: an existing folder; docs/architecture.md lists its contents.

    Raises:
        UserError: any mistake in the data; see `readers` and `choose`.
    """
    dataset = entry(config.name)
    choose.require_possible(config, minimum)
    if dataset.class_names is not None:
        choose.chosen_classes(dataset.class_names, config, f"data.name: {dataset.name}")
    with (
        closing(Scratch(directory / ".pixels", config.image_size)) as scratch,
        open_pool(dataset, config, raw, progress) as pool,
    ):
        return _pack(dataset, pool, config, minimum, scratch, directory, progress)


def _pack(
    dataset: Entry,
    pool: Pool,
    config: DataConfig,
    minimum: Minimum,
    scratch: Scratch,
    directory: Path,
    progress: Progress,
) -> Card:
    plan = choose.make_plan(pool, config, progress)
    choose.require_all_usable(config, pool.place, pool.skipped)
    choose.require_usable(plan, pool)
    first, _ = _next_round(np.arange(len(plan.order)), plan.strata, plan.quotas)
    expected = _split(plan.order[first], plan, pool, config)  # if every file were usable
    available = len(plan.order)
    choose.require(expected, minimum, config, pool, available)
    chosen, rows, skipped = _decode(plan, pool, config, scratch, progress)
    splits = _split(chosen, plan, pool, config)
    for split in ("validation", "test"):
        if split not in pool.own_splits and (splits == split).sum() == choose.MOST:
            progress.note(
                f"{split}: {choose.MOST} images, the most that data.{split}_fraction gives"
            )
    stays = choose.drop_straddling(splits, [scratch.digests[row] for row in rows])
    duplicates = int((~stays).sum())
    lost = f"{len(skipped)} files skipped, {duplicates} duplicates removed"
    choose.require(splits[stays], minimum, config, pool, available, lost)
    shape = (config.image_size, config.image_size, scratch.channels)
    counts: dict[str, int] = {}
    class_counts: dict[str, list[int]] = {}
    sha256: dict[str, str] = {}
    for split in SPLITS:
        positions = np.flatnonzero((splits == split) & stays)
        counts[split] = len(positions)
        chunks = _chunks(scratch, rows[positions])
        if config.binarize is not None:
            names = iter([pool.names[index] for index in chosen[positions].tolist()])
            chunks = (binarized(chunk, names, config.seed) for chunk in chunks)
        sha256[split] = packed.write_images(directory, split, (len(positions), *shape), chunks)
        if plan.class_names is not None:
            labels = plan.classes[chosen[positions]]
            packed.write_labels(directory, split, labels)
            class_counts[split] = np.bincount(labels, minlength=len(plan.class_names)).tolist()
        if pool.factors is not None:
            packed.write_factors(directory, split, pool.factors[chosen[positions]])
    own_path = config.path if dataset.reader == "folder" else None
    card = Card(
        name=dataset.name,
        title=dataset.title if own_path is None else _title(expanded(own_path)),
        licence=dataset.licence,
        citation=dataset.citation,
        source=own_path or dataset.source,
        image_size=config.image_size,
        channels=scratch.channels,
        class_names=plan.class_names,
        counts=counts,
        class_counts=class_counts or None,
        factor_names=None if pool.factor_names is None else list(pool.factor_names),
        sha256=sha256,
        fit=config.fit,
        subset=config.subset,
        classes=config.classes,
        binarize=config.binarize,
        seed=config.seed,
        duplicates_removed=duplicates,
        skipped=[*pool.skipped, *skipped],
    )
    packed.write_card(directory, card)
    sheet = contact_sheet(card, packed.load_split(directory, "train"))
    sheet.save(directory / "sheet.png", compress_level=1)
    return card


def _title(path: Path) -> str:
    """The name of a folder or archive of images."""
    whole = path.resolve()
    return clean(whole.stem if path.is_file() else whole.name)


def _chunks(scratch: Scratch, rows: NDArray[np.int64]) -> Iterator[NDArray[np.uint8]]:
    """uint8 [n, H, W, C], a few at a time"""
    count = max(1, _CHUNK // (scratch.size**2 * scratch.channels))
    return (scratch.gather(rows[start : start + count]) for start in range(0, len(rows), count))


def binarized(images: NDArray[np.uint8], names: Iterator[str], seed: int) -> NDArray[np.uint8]:
    """Each value 0 or 255 at random, 255 with probability value / 255: the mean stays.

    The static binarisation of Salakhutdinov & Murray (2008), each channel for itself. The draw
    depends on `seed` and an image's name alone, whatever subset or split it is in.

    Args:
        images: uint8 [n, H, W, C].
        names: of these images, of which n are taken; a further chunk may follow with the next.

    Returns:
        uint8 [n, H, W, C]
    """
    import torch  # only if needed: it takes a second

    from sharpvae.core.seeds import generator

    white = np.empty(images.shape, dtype=np.bool_)
    for own, image, name in zip(white, images, names, strict=False):
        source = generator(seed, f"binarize {name}")
        # Below 255 in whole numbers: black stays black and white white, without rounding.
        draw = torch.randint(255, image.shape, generator=source, dtype=torch.uint8)
        own[:] = draw.numpy() < image
    return np.where(white, np.uint8(255), np.uint8(0))


def _decode(
    plan: choose.Plan, pool: Pool, config: DataConfig, scratch: Scratch, progress: Progress
) -> tuple[NDArray[np.int64], NDArray[np.int64], list[Skipped]]:
    """Decode and resize until every quota is filled; another image replaces a broken one.

    A round decodes as many of each stratum as it lacks, so that nothing is decoded in vain.

    Returns:
        indices into the pool, best rank first, int64 [n]; the row of each in the scratch file,
        int64 [n]; and the files that were no usable image, by name.
    """
    left, total = dict(plan.quotas), sum(plan.quotas.values())
    asked, waiting = _next_round(np.arange(len(plan.order)), plan.strata, left)
    ranks: list[int] = []
    skipped: list[Skipped] = []
    while len(asked):
        indices = plan.order[asked].tolist()
        rank = iter(asked.tolist())
        for chunk in decoded(pool.image, indices, config.image_size, config.fit):
            for item, its_rank in zip(chunk, rank, strict=False):
                if item.pixels is None:
                    skipped.append(Skipped(pool.names[item.index], item.reason))
                else:
                    scratch.append(item.pixels, item.digest)
                    ranks.append(its_rank)
                    left[int(plan.strata[its_rank])] -= 1
            progress.step("decoding", len(ranks), total)
        choose.require_all_usable(config, pool.place, skipped)
        asked, waiting = _next_round(waiting, plan.strata, left)
    taken = np.array(ranks, dtype=np.int64)
    rows = np.argsort(taken)
    return plan.order[taken[rows]], rows, sorted(skipped, key=lambda item: item.file)


def _next_round(
    waiting: NDArray[np.int64], strata: NDArray[np.int64], left: dict[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of `waiting`, ranks: the best of each stratum, as many as are `left` of it, and the rest."""
    asked = choose.leading(strata[waiting], left)
    return waiting[asked], waiting[~asked]


def _split(
    indices: NDArray[np.int64], plan: choose.Plan, pool: Pool, config: DataConfig
) -> NDArray[np.str_]:
    """The split of these images of the pool, which stand in random order; str [n]"""
    own_split = None if pool.own_split is None else pool.own_split[indices]
    return choose.assign_splits(
        plan.classes[indices], own_split, pool.own_splits,
        config.test_fraction, config.validation_fraction,
    )  # fmt: skip
