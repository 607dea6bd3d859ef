"""A set of images as people keep them: a folder, a .zip, an array of NumPy or PyTorch."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded
from sharpvae.datasets.array_files import load_array
from sharpvae.datasets.decode import Images, Pixels, UnusableImageError, decode, on_all_cores
from sharpvae.datasets.files import Files, FolderFiles, layout, open_files

KINDS = "a folder, .zip, .npy or .npz of images"
LEAST = 20  # samples; of fewer nothing can be said
LEAST_SIDE = 16  # px; smaller images have too few frequencies for a spectrum
_FORMS = "(N, H, W, C) or (N, C, H, W) with 1, 3 or 4 channels, or (N, H, W)"
_CHANNELS = (1, 3, 4)
_ARRAYS = (".npy", ".npz")
_CHUNK = 1 << 24  # values converted at once
_NAMED = 3  # files that a message names
_ROUNDING = 1e-3  # by which floats may leave their range; beyond, it may be another range
_UNCLEAR = 16.0  # floats up to it may be anything; above, they are in 0..255
_CLEARLY_SIGNED = -0.1  # below it, values are in [-1, 1]; between it and 0 they may be overshoot


class Given(NamedTuple):
    """Images of one size, and what had to be assumed of them.

    Attributes:
        images: uint8 (N, H, W, C); C is 1 where all are grey, else 3.
        labels: int64 (N,), of images that lie in one folder a class; else None.
        notes: what was assumed or passed over, in words.
    """

    images: Images
    labels: NDArray[np.int64] | None
    notes: list[str]


def read_images(source: Any, name: str, strict: bool = False) -> Given:
    """Read a set of images.

    Args:
        source: a folder, a .zip of image files, a .npy or a .npz; or an array of NumPy, or of
            anything that `numpy.asarray` takes, such as a tensor of PyTorch. Arrays are
            (N, H, W, C), (N, C, H, W) or (N, H, W), of uint8, bool, or floats in [0, 1]; floats in
            [-1, 1] or 0..255 and 16-bit integers are taken where there is no doubt, with a note.
        name: what messages call an array.
        strict: refuse a folder with a file that is no usable image, instead of passing it over.

    Raises:
        UserError: nothing there, no images, images of several sizes or that are too small, values
            that are not finite or may mean two things, an array of Python objects.
    """
    if not isinstance(source, str | Path):
        return array_images(_as_array(source, name), name)
    path = expanded(source)
    if not path.exists():
        raise UserError(str(path), KINDS, "no such file or folder", "correct the path")
    if _is_array(path):
        return array_images(load_array(path), str(path))
    with closing(open_files(path)) as files:
        return _file_images(files, path, strict)


def require_kind(source: str, where: str) -> None:
    """UserError, which names `where`, unless a path leads to one of `KINDS`; it is not read."""
    path = expanded(source)
    if not (path.is_dir() or _is_array(path) or zipfile.is_zipfile(path)):
        found = "another kind of file" if path.exists() else "no such file or folder"
        fix = "correct it; a relative path counts from the folder of params.yaml"
        raise UserError(where, KINDS, f"{source}: {found}", fix)


def digest(source: str) -> str:
    """SHA-256 of what lies at a path, as 64 hexadecimal digits: a file, or all of a folder.

    Raises:
        UserError: it cannot be read.
    """
    path = expanded(source)
    try:
        if not path.is_dir():
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        whole, files = hashlib.sha256(), FolderFiles(path)
        for name in files.files:
            for part in (name.encode(), files.read(name)):
                whole.update(f"{len(part)}:".encode() + part)
        return whole.hexdigest()
    except (OSError, UnusableImageError) as error:
        raise UserError(source, KINDS, str(error), "see that it can be read") from None


def chosen(have: int, count: int) -> NDArray[np.int64]:
    """So many positions at random, or files sorted by class would be compared by their first."""
    return np.random.default_rng(0).permutation(have)[:count]


def fitting(given: Given, shape: Sequence[int], where: str) -> Given:
    """Samples as images of `shape` (H, W, C), to be scored against real ones of that shape.

    Grey ones get three channels where the real ones have colours. Nothing is resized: that alone
    would make them sharper or more blurred.

    Raises:
        UserError: they are too few, of another size, or coloured where the real ones are grey.
    """
    images, (height, width, channels) = given.images, shape
    if len(images) < LEAST:
        raise UserError(where, f"at least {LEAST} samples", str(len(images)), "draw more")
    if images.shape[1:3] != (height, width):
        raise UserError(
            where, f"{_size(shape)}, as the prepared images", _size(images.shape[1:]),
            "bring them to that size as data.fit does, or set data.image_size to theirs",
        )  # fmt: skip
    if images.shape[3] > channels:
        fix = "convert them to grey, or give real images in colour"
        raise UserError(where, "grey images, as the prepared ones", "colours", fix)
    if images.shape[3] == channels:
        return given
    note = "all images are grey, while real ones are coloured"
    return Given(images.repeat(channels, axis=3), given.labels, [*given.notes, note])


def _is_array(path: Path) -> bool:
    return path.suffix.lower() in _ARRAYS and path.is_file()


def _as_array(source: Any, name: str) -> NDArray[Any]:
    try:
        return np.asarray(source.detach().cpu() if hasattr(source, "detach") else source)
    except (ValueError, TypeError) as error:
        raise UserError(name, f"one array, {_FORMS}", str(error), "stack and convert it") from None


def array_images(array: NDArray[Any], name: str) -> Given:
    """An array as images; see `read_images`."""
    notes: list[str] = []
    images = _channels_last(array, name)
    if not len(images):
        raise UserError(name, "images", f"an array of shape {array.shape}: none")
    scale = _scale(images, name, notes)
    converted = np.concatenate([scale(part) for part in _chunks(images)])
    if converted.shape[3] == 4:
        notes.append("transparent pixels were laid on white")
        converted = np.concatenate([_on_white(part) for part in _chunks(converted)])
    return Given(_least_channels(converted), None, notes)


def _channels_last(array: NDArray[Any], name: str) -> NDArray[Any]:
    """(N, H, W, C) of any of the forms; sides are too long to be taken for channels."""
    images = array[..., None] if array.ndim == 3 else array
    if images.ndim == 4:
        if images.shape[3] in _CHANNELS and min(images.shape[1:3]) >= LEAST_SIDE:
            return images
        if images.shape[1] in _CHANNELS and min(images.shape[2:]) >= LEAST_SIDE:
            return images.transpose(0, 2, 3, 1)
    raise UserError(
        name, f"{_FORMS}, sides of {LEAST_SIDE} pixels at least", f"an array of {array.shape}",
        "reshape it: numpy.reshape(images, (N, H, W, C))",
    )  # fmt: skip


def _scale(images: NDArray[Any], name: str, notes: list[str]) -> Callable[[NDArray[Any]], Images]:
    """The function that brings a part of `images` to bytes; UserError where values are unclear."""
    kind = images.dtype
    if kind == np.bool_:
        return lambda part: part.astype(np.uint8) * np.uint8(255)
    if kind.kind not in "iuf":
        raise UserError(name, "uint8, or floats in [0, 1]", f"values of {kind}", "convert them")
    if kind.kind == "f" and (wrong := sum(int((~np.isfinite(p)).sum()) for p in _chunks(images))):
        raise UserError(
            name, "finite values", f"{wrong} that are NaN or infinite",
            "look for what made them: such a model cannot be scored",
        )  # fmt: skip
    low = min(float(part.min()) for part in _chunks(images))
    high = max(float(part.max()) for part in _chunks(images))
    span = f"values of {kind} from {low:.4g} to {high:.4g}"
    if kind == np.uint8 and high != 1:
        return np.ascontiguousarray
    ranges = _float_range if kind.kind == "f" else _integer_range
    black, white = ranges(low, high, name, span)
    if (black, white) != (0.0, 1.0):
        notes.append(f"{span} were taken as {black:g} (black) to {white:g} (white)")

    def scaled(part: NDArray[Any]) -> Images:
        values = (part.astype(np.float64) - black) * (255 / (white - black))
        return np.round(values).clip(0, 255).astype(np.uint8)

    return scaled


def _float_range(low: float, high: float, name: str, span: str) -> tuple[float, float]:
    """Black and white."""
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        return 0.0, 1.0
    if -1 - _ROUNDING <= low < _CLEARLY_SIGNED and high <= 1 + _ROUNDING:
        return -1.0, 1.0
    if low >= -_ROUNDING and _UNCLEAR < high <= 255 + _ROUNDING:
        return 0.0, 255.0
    raise UserError(
        name, "floats in [0, 1]; [-1, 1] and 0..255 are taken where there is no doubt", span,
        "bring them to [0, 1], for example with numpy.clip(images, 0, 1)",
    )  # fmt: skip


def _integer_range(low: float, high: float, name: str, span: str) -> tuple[float, float]:
    """Black and white."""
    if low >= 0 and _UNCLEAR < high <= 255:
        return 0.0, 255.0
    if low >= 0 and 32768 <= high <= 65535:
        return 0.0, 65535.0
    raise UserError(
        name, "integers that say what white is: bytes up to 255, or 16 bits up to 65535", span,
        "write them as uint8 up to 255, or as bool where they are black and white",
    )  # fmt: skip


def _on_white(images: Images) -> Images:
    """uint8 (N, H, W, 4) => (N, H, W, 3)"""
    alpha = images[..., 3:].astype(np.uint32)
    blended = images[..., :3] * alpha + 255 * (255 - alpha)
    return ((blended + 127) // 255).astype(np.uint8)


def _least_channels(images: Images) -> Images:
    """One channel where all three are equal everywhere."""
    if images.shape[3] == 3 and all((p == p[..., :1]).all() for p in _chunks(images)):
        return np.ascontiguousarray(images[..., :1])
    return images


def _chunks(images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    step = max(1, _CHUNK // max(1, images[0].size))
    return (images[start : start + step] for start in range(0, len(images), step))


def _file_images(files: Files, path: Path, strict: bool) -> Given:
    """All image files of a folder or an archive, in the order of their names."""
    if not files.files:
        raise UserError(str(path), "images", "no file in it", "put images there")
    found = layout(files, path)
    names = [found.prefix + name for name in found.files]
    images: Images | None = None
    usable: list[int] = []
    broken: list[str] = []
    decoded = on_all_cores(lambda name: _decoded(files, name), names)
    for index, (name, own) in enumerate(zip(names, decoded, strict=True)):
        if isinstance(own, str):
            broken.append(f"{name} ({own})")
            continue
        if images is None:
            _require_side(own.shape, path)
            images = _room(len(names), own.shape, path)
        elif own.shape[:2] != images.shape[1:3]:
            raise UserError(
                f"{path}/{name}", f"{_size(images.shape[1:])}, as {names[usable[0]]}",
                _size(own.shape), "bring all images to one size, as the model's images were",
            )  # fmt: skip
        images[len(usable)] = own
        usable.append(index)
    if images is None or (strict and broken):
        wanted = "usable images alone" if strict and usable else "images"
        raise UserError(str(path), wanted, _few(broken), "put images there, and nothing else")
    notes = [f"{len(broken)} files that are no usable image: {_few(broken)}"] if broken else []
    labels = None if found.labels is None else found.labels[usable]
    return Given(_least_channels(images[: len(usable)]), labels, notes)


def _decoded(files: Files, name: str) -> Pixels | str:
    """The pixels of one file, or why there are none."""
    try:
        return decode(files.read(name))
    except UnusableImageError as error:
        return str(error)


def _room(count: int, shape: Sequence[int], path: Path) -> Images:
    """(N, H, W, 3), which takes up no memory before it is filled."""
    try:
        return np.empty((count, *shape[:2], 3), np.uint8)
    except MemoryError:
        raise UserError(
            str(path), "images that fit into memory", f"{count} of {_size(shape)}",
            "bring them to the size that the model was trained with, or give fewer",
        ) from None  # fmt: skip


def _require_side(shape: Sequence[int], path: Path) -> None:
    if min(shape[:2]) < LEAST_SIDE:
        raise UserError(
            str(path), f"images of {LEAST_SIDE} pixels a side at least", _size(shape),
            "score them before they are made so small",
        )  # fmt: skip


def _size(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]} pixels"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
