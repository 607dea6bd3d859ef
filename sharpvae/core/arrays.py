"""NumPy's files of earlier stages, which are never unpickled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.errors import UserError

AGAIN = "remove it and run: dvc repro"


def read_array(path: Path, mapped: bool = False) -> NDArray[Any]:
    """The array of a .npy file, `mapped` and read-only where it may be larger than memory.

    Raises:
        UserError: it is missing or damaged.
    """
    with _numpys(path):
        if mapped:
            array: np.memmap[Any, Any] = np.lib.format.open_memmap(path, mode="r")
            _require_all(path.stat().st_size - array.offset - array.nbytes)
            return array
        with path.open("rb") as file:
            found = np.lib.format.read_array(file, allow_pickle=False)
            _require_all(path.stat().st_size - file.tell())
            return found


def read_arrays(path: Path, *names: str) -> dict[str, NDArray[Any]]:
    """All arrays of a .npz file, `names` among them.

    Raises:
        UserError: it is missing or damaged, or has not all of them.
    """
    with _numpys(path), path.open("rb") as file:
        archive = np.load(file, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise ValueError("a single array, where an archive of several was expected")
        with archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    if not set(names) <= set(arrays):
        expected, found = " and ".join(names), ", ".join(arrays) or "nothing"
        raise UserError(str(path), f"arrays named {expected}", f"arrays named {found}", AGAIN)
    return arrays


def _require_all(left: int) -> None:
    """A damaged header may announce fewer rows than there are."""
    if left:
        raise ValueError(f"{left} bytes more than its header announces")


@contextmanager
def _numpys(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        expected, fix = "a file that an earlier stage writes", "run the whole pipeline: dvc repro"
        raise UserError(str(path), expected, "no such file", fix) from None
    except Exception as error:  # NumPy, zipfile and zlib raise whatever comes on damaged files
        found = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(str(path), "a file written by numpy", found, AGAIN) from None
