"""Arrays that somebody else wrote: .npy and .npz files, of which nothing is unpickled."""

from __future__ import annotations

import lzma
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.errors import UserError
from sharpvae.datasets.files import FREE_SIZE, MAX_RATIO

_LONGEST = 200  # characters of what was wrong with a file
_DAMAGED = (  # what NumPy, zipfile and their decoders raise on damaged files
    ValueError, TypeError, OverflowError, OSError, EOFError, RuntimeError, KeyError, MemoryError,
    SyntaxError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


def load_array(path: Path, key: str | None = None) -> NDArray[Any]:
    """The array of a .npy, or of a .npz the one named `key`, or the only one of images.

    Raises:
        UserError: it cannot be read without running code, or there is no such array.
    """
    try:
        with path.open("rb") as file:
            if file.read(2) != b"PK":  # the beginning of every .npz
                single: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
                return single
            file.seek(0)
            with np.load(file, allow_pickle=False) as loaded:
                _refuse_bomb(path, loaded.zip)
                arrays, found = _members(loaded, key)
    except _DAMAGED as error:
        objects = any(word in str(error) for word in ("ickle", "Python objects"))
        damage = " ".join(str(error).split())[:_LONGEST] or type(error).__name__
        raise UserError(
            str(path), "an array of numbers, as numpy.save or numpy.savez writes it",
            "Python objects, which are never unpickled" if objects else damage,
            "write it anew: numpy.save(path, images)",
        ) from None  # fmt: skip
    wanted = [name for name, own in arrays.items() if key is not None or own.ndim in (3, 4)]
    if len(wanted) != 1:
        only = "one array of images" if key is None else f"an array named '{key}'"
        raise UserError(str(path), only, found, "write what is meant to a file of its own")
    return arrays[wanted[0]]


def _members(archive: Any, key: str | None) -> tuple[dict[str, NDArray[Any]], str]:
    """The arrays of a .npz that are asked for, and what there is, in words."""
    within = set(archive.zip.namelist())
    names = [name for name in archive.files if f"{name}.npy" in within]  # not other files
    asked = [name for name in names if key in (None, name)]
    arrays = {name: archive[name] for name in asked if not _of_objects(archive, name)}
    for name, own in arrays.items():
        if not isinstance(own, np.ndarray):  # NumPy gives the bytes of what it does not know
            raise ValueError(f"{name} is no array")
    return arrays, ", ".join(_described(arrays)) or ", ".join(names) or "no array"


def _refuse_bomb(path: Path, archive: zipfile.ZipFile) -> None:
    """UserError where a few bytes unpack to very many."""
    size, packed = sum(own.file_size for own in archive.infolist()), path.stat().st_size
    if size > max(FREE_SIZE, MAX_RATIO * packed):
        raise UserError(
            str(path), f"arrays, at most {MAX_RATIO} times smaller than what they hold",
            f"{packed} bytes that unpack to {size}: a zip bomb?",
            "if the images are what you want, write them with numpy.save",
        )  # fmt: skip


def _described(arrays: dict[str, NDArray[Any]]) -> list[str]:
    return [f"{name} {own.shape}" for name, own in arrays.items()]


def _of_objects(archive: Any, name: str) -> bool:
    """Whether an array beside others holds Python objects, such as names of classes."""
    if len(archive.files) == 1:
        return False  # reading it says so
    with archive.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        read = {(1, 0): np.lib.format.read_array_header_1_0}.get(
            version, np.lib.format.read_array_header_2_0
        )
        return bool(read(member)[2].hasobject)
