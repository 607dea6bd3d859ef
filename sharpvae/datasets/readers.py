"""A catalogue entry and the user's `data` section -> a pool of images to choose from."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sharpvae.config.schema import DataConfig
from sharpvae.datasets.array_readers import (
    cifar10_pool,
    csv_pool,
    dsprites_pool,
    idx_pool,
    svhn_pool,
)
from sharpvae.datasets.entry import Entry
from sharpvae.datasets.fetch import expanded, obtain, places
from sharpvae.datasets.image_readers import (
    celeba_pool,
    flowers102_pool,
    folder_pool,
    fruits_pool,
    wikiart_pool,
)
from sharpvae.datasets.inventory import unpacked_by_hand
from sharpvae.datasets.pool import Pool
from sharpvae.datasets.progress import Progress
from sharpvae.errors import UserError

_GROUPED = {"fruits": fruits_pool, "wikiart": wikiart_pool}


@contextmanager
def open_pool(entry: Entry, config: DataConfig, raw: Path, progress: Progress) -> Iterator[Pool]:
    """Open the images of `entry`, getting hold of its files first; they stay open in the block.

    Raises:
        UserError: files missing, wrong or unreadable; each message names the key or the file.
    """
    if entry.reader == "folder":
        with folder_pool(_own_images(entry, config), config, entry) as pool:
            yield pool
    elif entry.reader == "csv":
        if config.path is not None:
            raise UserError(
                "data.path", f"null, for {entry.source} is read where it is installed",
                repr(config.path), "for images of your own set data.name: folder",
            )  # fmt: skip
        yield csv_pool(entry)
    elif entry.reader in _GROUPED:
        path = _images_or_archive(entry, config, raw, progress)
        with _GROUPED[entry.reader](path, config, entry) as pool:
            yield pool
    else:
        found = obtain(entry, places(entry, config.path, config.mirror, raw), raw, progress)
        if entry.reader == "celeba":
            with celeba_pool(found, config, entry) as pool:
                yield pool
        elif entry.reader == "flowers102":
            yield flowers102_pool(found, config, entry, raw, progress)
        elif entry.reader == "cifar10":
            yield cifar10_pool(entry, found, raw, progress)
        elif entry.reader == "svhn":
            yield svhn_pool(entry, found)
        elif entry.reader == "dsprites":
            yield dsprites_pool(entry, found, raw, progress)
        else:
            yield idx_pool(entry, found)


def _own_images(entry: Entry, config: DataConfig) -> Path:
    """`data.path`, of the kind that `data.name` says."""
    kind = "a .zip of images" if entry.name == "zip" else "a folder or .zip of images"
    if config.path is None:
        raise UserError(
            "data.path", f"{kind}, for data.name: {entry.name}", "null", "set data.path"
        )
    path = expanded(config.path)
    if entry.name == "zip" and path.is_dir():
        raise UserError("data.path", kind, f"a folder: {path}", "set data.name: folder")
    return path


def _images_or_archive(entry: Entry, config: DataConfig, raw: Path, progress: Progress) -> Path:
    """Where a dataset that is fetched by hand lies: a folder of it, or its archive.

    `data.path` may name either. Else a folder below the places of `fetch` counts as soon as there
    are folders in it; and then the archive, which a mirror may serve.
    """
    if config.path is not None:
        return _archive_in(expanded(config.path), entry)
    tried = places(entry, None, config.mirror, raw)
    folder = unpacked_by_hand(tried)
    return folder or obtain(entry, tried, raw, progress)[entry.files[0].name]


def _archive_in(path: Path, entry: Entry) -> Path:
    """A folder that holds nothing but the archive stands for the archive."""
    archive = path / entry.files[0].name
    return archive if zipfile.is_zipfile(archive) else path
