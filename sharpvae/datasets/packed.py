"""The packed form of a dataset: one uint8 array a split, labels, and a card."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sharpvae.artefacts import read_json, write_json
from sharpvae.errors import UserError

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
CARD = "card.json"
_AGAIN = "make it anew: dvc repro --force prepare"


@dataclass(frozen=True)
class Split:
    """Images and labels of one split.

    Attributes:
        images: uint8 [N, H, W, C], memory-mapped and read-only; C is 1 or 3.
        labels: int64 [N], indices into the card's `class_names`; None without labels.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None


@dataclass(frozen=True)
class Skipped:
    """A file that was passed over, by its name below the folder of the images, and why."""

    file: str
    reason: str


@dataclass(frozen=True)
class Card:
    """What a packed dataset is; nothing in it depends on the time or the machine.

    Attributes:
        name: `data.name`.
        source: where the images are from; `data.path` as given for `folder`.
        image_size: height and width in pixels.
        channels: 1 where every image is grey, else 3.
        class_names: label -> name; None without labels.
        counts: split -> number of images.
        class_counts: split -> number of images of each class; None without labels.
        sha256: split -> hash of the file `<split>.npy`.
        mean, std: per channel, of the training split, in [0, 1].
        fit, subset, classes, seed: as configured under `data`.
        duplicates_removed: images taken out of train (or validation) because their equal lies in
            test (or validation).
        skipped: files that are no usable image.
    """

    name: str
    title: str
    licence: str
    citation: str
    source: str
    image_size: int
    channels: int
    class_names: list[str] | None
    counts: dict[str, int]
    class_counts: dict[str, list[int]] | None
    sha256: dict[str, str]
    mean: list[float]
    std: list[float]
    fit: str
    subset: int | float | None
    classes: list[str] | None
    seed: int
    duplicates_removed: int
    skipped: list[Skipped]


def create_split(
    directory: Path, name: SplitName, shape: tuple[int, int, int, int]
) -> NDArray[np.uint8]:
    """A writable uint8 memory map of `<name>.npy` with `shape` [N, H, W, C]."""
    array: NDArray[np.uint8] = np.lib.format.open_memmap(
        directory / f"{name}.npy", mode="w+", dtype=np.uint8, shape=shape
    )
    return array


def write_labels(directory: Path, name: SplitName, labels: NDArray[np.int64]) -> None:
    """Write int64 [N] beside the images of the same split."""
    np.save(_labels_file(directory, name), labels.astype(np.int64))


def write_card(directory: Path, card: Card) -> None:
    """Write card.json."""
    write_json(directory / CARD, asdict(card))


def file_hash(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_split(directory: Path, name: SplitName) -> Split:
    """Open one split that `prepare` wrote.

    Raises:
        UserError: a file is missing, cut short or of another shape or type.
    """
    images = _load(directory / f"{name}.npy", np.dtype(np.uint8), 4, mapped=True)
    path = _labels_file(directory, name)
    if not path.exists():
        return Split(images, None)
    labels = _load(path, np.dtype(np.int64), 1, mapped=False)
    if len(labels) != len(images):
        raise UserError(
            str(path), f"one label for each of {len(images)} images", f"{len(labels)}", _AGAIN
        )
    return Split(images, labels)


def load_card(directory: Path) -> Card:
    """Read card.json.

    Raises:
        UserError: it is missing, or has not the fields of a `Card`.
    """
    path = directory / CARD
    values = read_json(path)
    expected = {field.name for field in fields(Card)}
    found = set(values) if isinstance(values, dict) else set()
    if found != expected:
        wrong = ", ".join(sorted(found ^ expected))
        raise UserError(str(path), "the fields of a dataset's card", f"not right: {wrong}", _AGAIN)
    return Card(**{**values, "skipped": [Skipped(**item) for item in values["skipped"]]})


def _labels_file(directory: Path, name: SplitName) -> Path:
    return directory / f"{name}_labels.npy"


def _load(path: Path, dtype: np.dtype[Any], dimensions: int, mapped: bool) -> NDArray[Any]:
    expected = f"a .npy file of {dtype} with {dimensions} dimensions"
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except FileNotFoundError:
        raise UserError(
            str(path), expected, "no such file", "run the whole pipeline with: dvc repro"
        ) from None
    except (ValueError, EOFError, OSError) as error:
        raise UserError(str(path), expected, str(error), _AGAIN) from None
    if array.dtype != dtype or array.ndim != dimensions:
        raise UserError(str(path), expected, f"{array.dtype} of shape {array.shape}", _AGAIN)
    return array
