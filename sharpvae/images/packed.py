"""The packed form of a dataset: one uint8 array a split, labels, and a card."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from sharpvae.core.arrays import read_array
from sharpvae.core.artefacts import first_finding
from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json, write_json

SplitName = Literal["train", "validation", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "validation", "test")
CARD = "card.json"
_AGAIN = "make it anew: dvc repro --force prepare"


@dataclass(frozen=True)
class Split:
    """Images, labels and factors of one split; None where the data has none."""

    images: NDArray[np.uint8]  # [N, H, W, C], memory-mapped and read-only; C is 1 or 3
    labels: NDArray[np.int64] | None  # [N], indices into the card's `class_names`
    factors: NDArray[np.int64] | None = None  # [N, K], in the order of the card's `factor_names`


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
        factor_names: column of the factors -> name; None without factors.
        fit, subset, classes, binarize, seed: as configured under `data`.
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
    factor_names: list[str] | None
    sha256: dict[str, str]
    fit: str
    subset: int | float | None
    classes: list[str] | None
    binarize: str | None
    seed: int
    duplicates_removed: int
    skipped: list[Skipped]


def write_images(
    directory: Path, name: SplitName, shape: tuple[int, int, int, int],
    chunks: Iterable[NDArray[np.uint8]],
) -> str:  # fmt: skip
    """Write `<name>.npy` of `shape` [N, H, W, C] from chunks [n, H, W, C]; its hexadecimal SHA-256.

    It holds one chunk at a time. A full disk is an error here, but ends the process with a map.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    digest = hashlib.sha256(header.getvalue())
    with (directory / f"{name}.npy").open("wb") as file:
        file.write(header.getvalue())
        for chunk in chunks:
            file.write(chunk.data)
            digest.update(chunk.data)
    return digest.hexdigest()


def write_labels(directory: Path, name: SplitName, labels: NDArray[np.int64]) -> None:
    """Write int64 [N] beside the images of the same split."""
    np.save(directory / f"{name}_labels.npy", labels.astype(np.int64))


def write_factors(directory: Path, name: SplitName, factors: NDArray[np.int64]) -> None:
    """Write int64 [N, K] beside the images of the same split."""
    np.save(directory / f"{name}_factors.npy", factors.astype(np.int64))


def write_card(directory: Path, card: Card) -> None:
    """Write card.json."""
    write_json(directory / CARD, asdict(card))


def load_split(directory: Path, name: SplitName) -> Split:
    """Open one split that `prepare` wrote.

    Raises:
        UserError: a file is missing, cut short or of another shape or type; or images are not those
            whose sum is in the card beside them.
    """
    images = _load(directory / f"{name}.npy", np.dtype(np.uint8), 4, mapped=True)
    if (directory / CARD).exists():
        _require_sum(directory / f"{name}.npy", load_card(directory).sha256.get(name))
    labels = _beside(directory / f"{name}_labels.npy", 1, len(images))
    return Split(images, labels, _beside(directory / f"{name}_factors.npy", 2, len(images)))


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
    try:
        return TypeAdapter(Card).validate_python(values)
    except ValidationError as error:
        wanted = "the fields of a dataset's card"
        raise UserError(str(path), wanted, first_finding(error), _AGAIN) from None


def _require_sum(path: Path, expected: str | None) -> None:
    """UserError where a file has another SHA-256; a second for each gigabyte."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if expected is not None and found != expected:
        raise UserError(str(path), f"SHA-256 {expected}, as in {CARD}", found, _AGAIN)


def _beside(path: Path, dimensions: int, count: int) -> NDArray[np.int64] | None:
    """The rows of a file beside the images, one for each image; None without the file."""
    if not path.exists():
        return None
    values = _load(path, np.dtype(np.int64), dimensions, mapped=False)
    if len(values) != count:
        raise UserError(str(path), f"one row for each of {count} images", f"{len(values)}", _AGAIN)
    return values


def _load(path: Path, dtype: np.dtype[Any], dimensions: int, mapped: bool) -> NDArray[Any]:
    expected = f"a .npy file of {dtype} with {dimensions} dimensions"
    array = read_array(path, mapped)
    if array.dtype != dtype or array.ndim != dimensions:
        raise UserError(str(path), expected, f"{array.dtype} of shape {array.shape}", _AGAIN)
    return array
