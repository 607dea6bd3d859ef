"""One pool of images for each way a dataset is laid out."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np

from sharpvae.core.console import Progress
from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded
from sharpvae.datasets import arrays
from sharpvae.datasets.archives import unpacked
from sharpvae.datasets.catalogue import Entry
from sharpvae.datasets.config import DataConfig
from sharpvae.datasets.decode import Pixels, UnusableImageError, centre, decode
from sharpvae.datasets.fetch import obtain, places, unpacked_by_hand
from sharpvae.datasets.files import (
    TEST,
    TRAIN,
    VALIDATION,
    Files,
    Pool,
    clean,
    layout,
    open_files,
    read_image_file,
)
from sharpvae.datasets.shapes import shapes_pool
from sharpvae.images.packed import Skipped

_KEPT = 4  # image sizes that a reduced JPEG keeps: the result is then within 2 levels
_CELEBA_CROP = 140  # pixels of the middle: the face without most of the background
_GENRES = {"130": "cityscape", "131": "genre_painting", "133": "landscape", "135": "portrait"}


def folder_pool(files: Files, path: Path, config: DataConfig, entry: Entry) -> Pool:
    """Images alone, or in one folder a class."""
    found = layout(files, path)
    return Pool(
        place=f"{path}/{found.prefix}".rstrip("/"), names=found.files,
        image=_reader(files, found.prefix, found.files, config.image_size),
        labels=found.labels, class_names=found.class_names, own_split=found.own_split,
        skipped=[
            *(Skipped(name, "outside of the class folders") for name in found.stray),
            *(Skipped(name, "points out of the archive") for name in files.outside),
        ],
    )  # fmt: skip


def fruits_pool(files: Files, path: Path, config: DataConfig, entry: Entry) -> Pool:
    """Class folders of Fruits-360 below `Training` and `Test`, put together into groups.

    Folders already named like the groups are read as they are.
    """
    group = {_key(folder): name for name, folders in entry.groups for folder in folders}
    top = _fruits_top(files, set(group))
    if top is None:
        return _grouped_by_hand(files, path, config, entry)
    classes = entry.class_names or ()
    chosen: list[str] = []
    labels: list[int] = []
    splits: list[int] = []
    for name in (name[len(top) :] for name in files.files if name.startswith(top)):
        part, folder, *_ = [*name.split("/"), ""]
        split = {"training": TRAIN, "test": TEST}.get(part.lower())
        if split is not None and _key(folder) in group:
            chosen.append(name)
            labels.append(classes.index(group[_key(folder)]))
            splits.append(split)
    if not chosen:
        return _grouped_by_hand(files, path, config, entry)
    return Pool(
        place=f"{path}/{top}".rstrip("/"), names=chosen,
        image=_reader(files, top, chosen, config.image_size),
        labels=np.array(labels, dtype=np.int64), class_names=classes,
        own_split=np.array(splits, dtype=np.int8),
    )  # fmt: skip


def _key(folder: str) -> str:
    """`Apple Golden 1`, `apple_golden_1` and the like => one spelling"""
    return "".join(letter for letter in folder.lower() if letter.isalnum())


def _fruits_top(files: Files, wanted: set[str]) -> str | None:
    """The first folder, by name, whose `Training` has all wanted class folders, with its `/`."""
    below: dict[str, set[str]] = {}
    for folder in files.folders:
        parent, _, name = folder.rpartition("/")
        below.setdefault(parent, set()).add(_key(name))
    for folder in sorted(below):
        top, _, name = folder.rpartition("/")
        if name.lower() == "training" and wanted <= below[folder]:
            return f"{top}/" if top else ""
    return None


def wikiart_pool(files: Files, path: Path, config: DataConfig, entry: Entry) -> Pool:
    """The folder `Impressionism` by the genres that wclasses.csv gives.

    Folders already named like the genres are read as they are.
    """
    table = next((name for name in files.files if name.endswith("wclasses.csv")), None)
    if table is None:
        return _grouped_by_hand(files, path, config, entry)
    prefix = table.removesuffix("wclasses.csv")
    there, classes = set(files.files), entry.class_names or ()
    chosen: list[str] = []
    labels: list[int] = []
    skipped: list[Skipped] = []
    for row in _rows(files, table, path, entry):
        genre = _GENRES.get((row["genre"] or "").strip())  # None where a line is cut short
        name = clean((row["file"] or "").strip())
        if genre is None or not name.startswith("Impressionism/"):
            continue
        if prefix + name in there:
            chosen.append(name)
            labels.append(classes.index(genre))
        else:  # some names with accents differ between the table and the archive
            skipped.append(Skipped(name, "named in wclasses.csv, but not there"))
    if not chosen:
        raise UserError(
            str(path), "paintings in a folder Impressionism beside wclasses.csv", "none",
            entry.by_hand,
        )  # fmt: skip
    return Pool(
        place=f"{path}/{prefix}".rstrip("/"), names=chosen,
        image=_reader(files, prefix, chosen, config.image_size),
        labels=np.array(labels, dtype=np.int64), class_names=classes, skipped=skipped,
    )  # fmt: skip


def _rows(files: Files, table: str, path: Path, entry: Entry) -> list[dict[str, str]]:
    try:
        text = files.read(table).decode("utf-8-sig", "replace")
    except UnusableImageError as error:
        raise UserError(f"{path}/{table}", "a table", str(error), entry.by_hand) from None
    reader = csv.DictReader(text.splitlines())
    try:
        names, rows = reader.fieldnames or (), list(reader)
    except csv.Error as error:  # a line without end
        raise UserError(f"{path}/{table}", "a table", str(error), entry.by_hand) from None
    if not {"file", "genre"} <= set(names):
        raise UserError(
            f"{path}/{table}", "the columns file and genre", ", ".join(names), entry.by_hand
        )
    return rows


def _grouped_by_hand(files: Files, path: Path, config: DataConfig, entry: Entry) -> Pool:
    """Folders that the user has sorted; refused where they are not the entry's classes."""
    pool = folder_pool(files, path, config, entry)
    if set(pool.class_names or ()) != set(entry.class_names or ()):
        names = pool.class_names or ["no class folders"]
        raise UserError(
            str(path),
            f"what the publishers give, or the folders {', '.join(entry.class_names or ())}",
            ", ".join(names[:5]) + (", ..." if len(names) > 5 else ""), entry.by_hand,
        )  # fmt: skip
    return pool


def celeba_pool(files: Files, found: Mapping[str, Path], entry: Entry) -> Pool:
    """The middle 140x140 pixels of the aligned faces; the 40 attributes are the factors."""
    archive, attributes, partition = (found[file.name] for file in entry.files)
    _, header, *rows = attributes.read_text(encoding="utf-8").splitlines()
    factors = {name: values for name, *values in (row.split() for row in rows)}
    splits = dict(row.split() for row in partition.read_text(encoding="utf-8").splitlines())
    there = {name.rpartition("/")[2]: name for name in files.files}
    chosen = [name for name in splits if name in there and name in factors]
    read = _reader(files, "", [there[name] for name in chosen], None)
    codes = {"0": TRAIN, "1": VALIDATION, "2": TEST}
    return Pool(
        place=str(archive), names=chosen,
        image=lambda index: centre(read(index)[None], _CELEBA_CROP, _CELEBA_CROP)[0],
        own_split=np.array([codes[splits[name]] for name in chosen], dtype=np.int8),
        factors=(np.array([factors[name] for name in chosen], dtype=np.int64) + 1) // 2,
        factor_names=tuple(header.split()),
        skipped=[
            Skipped(name, "listed, but not in the archive")
            for name in splits if name not in there or name not in factors
        ],
    )  # fmt: skip


def flowers102_pool(
    found: Mapping[str, Path], config: DataConfig, entry: Entry, raw: Path, progress: Progress
) -> Pool:
    """102 flowers, with the names of their classes from torchvision."""
    from scipy.io import loadmat
    from torchvision.datasets import Flowers102

    archive, labels_file, splits_file = (found[file.name] for file in entry.files)
    folder = unpacked(archive, raw / entry.name / "unpacked" / "flowers-102", progress) / "jpg"
    listed = loadmat(splits_file)
    parts = [listed[key].ravel() for key in ("trnid", "valid", "tstid")]  # in the order of SPLITS
    numbers = np.concatenate(parts).astype(np.int64)  # from 1
    names = [f"image_{number:05d}.jpg" for number in numbers.tolist()]
    labels = loadmat(labels_file)["labels"].ravel().astype(np.int64) - 1
    at_least = _KEPT * config.image_size
    return Pool(
        place=str(folder), names=names,
        image=lambda index: decode(read_image_file(folder / names[index]), at_least),
        labels=labels[numbers - 1], class_names=tuple(Flowers102.classes),
        own_split=np.repeat(np.arange(3, dtype=np.int8), [len(part) for part in parts]),
    )  # fmt: skip


def _reader(
    files: Files, prefix: str, names: Sequence[str], image_size: int | None
) -> Callable[[int], Pixels]:
    """Index -> pixels; JPEGs of far more than `image_size` may be decoded smaller."""
    at_least = None if image_size is None else _KEPT * image_size
    return lambda index: decode(files.read(prefix + names[index]), at_least)


# What takes no `data.path`, and why.
_NO_FILES = {
    "csv": "{0.source} is read where it is installed",
    "shapes": "{0.name} are drawn, not read",
}
_IN_FOLDERS = {"folder": folder_pool, "fruits": fruits_pool, "wikiart": wikiart_pool}


@contextmanager
def open_pool(entry: Entry, config: DataConfig, raw: Path, progress: Progress) -> Iterator[Pool]:
    """Obtain the files of `entry` and open its images, for the block.

    UserError for files that are missing, wrong or unreadable; it names the key or the file.
    """
    if entry.reader in _IN_FOLDERS:
        path = _images_or_archive(entry, config, raw, progress)
        with closing(open_files(path)) as files:
            yield _IN_FOLDERS[entry.reader](files, path, config, entry)
        return
    if entry.reader in _NO_FILES:
        if config.path is not None:
            raise UserError(
                "data.path", f"null, for {_NO_FILES[entry.reader].format(entry)}",
                repr(config.path), "for images of your own set data.name: folder",
            )  # fmt: skip
        drawn = entry.reader == "shapes"
        yield shapes_pool(entry, config.image_size) if drawn else arrays.csv_pool(entry)
        return
    found = obtain(entry, places(entry, config.path, config.mirror, raw), raw, progress)
    if entry.reader == "celeba":
        with closing(open_files(found[entry.files[0].name])) as files:
            yield celeba_pool(files, found, entry)
    elif entry.reader == "flowers102":
        yield flowers102_pool(found, config, entry, raw, progress)
    elif entry.reader == "cifar10":
        yield arrays.cifar10_pool(entry, found, raw, progress)
    elif entry.reader == "svhn":
        yield arrays.svhn_pool(entry, found)
    elif entry.reader == "dsprites":
        yield arrays.dsprites_pool(entry, found, raw, progress)
    else:
        yield arrays.idx_pool(entry, found)


def _images_or_archive(entry: Entry, config: DataConfig, raw: Path, progress: Progress) -> Path:
    """`data.path`; or where a dataset that is fetched by hand lies: a folder of it, or its archive.

    Without `data.path`, a folder below the places of `fetch` counts as soon as there are folders
    in it; and then the archive, which a mirror may serve.
    """
    if entry.reader == "folder":
        kind = "a .zip of images" if entry.name == "zip" else "a folder or .zip of images"
        wanted = f"{kind}, for data.name: {entry.name}"
        if config.path is None:
            raise UserError("data.path", wanted, "null", "set data.path")
        path = expanded(config.path)
        if entry.name == "zip" and path.is_dir():
            raise UserError("data.path", kind, f"a folder: {path}", "set data.name: folder")
        return path
    if config.path is not None:
        path = expanded(config.path)
        archive = path / entry.files[0].name  # a folder that holds it stands for it
        return archive if archive.is_file() and zipfile.is_zipfile(archive) else path
    tried = places(entry, None, config.mirror, raw)
    folder = unpacked_by_hand(tried)
    return folder or obtain(entry, tried, raw, progress)[entry.files[0].name]
