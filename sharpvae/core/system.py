"""Errors of the operating system, with their number and the file or folder that they are about."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How shutil.Error, and safetensors' and other writers in Rust, put the number into their text.
_NUMBER = re.compile(r"\[Errno (\d+)\]|\(os error (\d+)\)|\bOs \{ code: (\d+)")
_SHORT = re.compile(r"(\d+) requested and \d+ written")  # NumPy's, which drops the number
_WIDEST = 16  # bytes of the largest item that NumPy counts there


@contextmanager
def placed(path: Path) -> Iterator[None]:
    """Give an error of the system within the block its number, and `path` where it names no file.

    Raises:
        OSError: for those, and for what other libraries make of them.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, BrokenPipeError) or getattr(error, "filename", None) is not None:
            raise
        number = _number(error, path)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _number(error: Exception, path: Path) -> int | None:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    if not isinstance(error, OSError) and type(error).__name__ != "SafetensorError":
        return None  # others may quote what has long been dealt with
    short = _SHORT.search(str(error))
    if short is not None:
        full = shutil.disk_usage(path.parent).free < _WIDEST * int(short[1])
        return errno.ENOSPC if full else errno.EIO
    found = _NUMBER.search(str(error))
    return None if found is None else int(next(filter(None, found.groups())))
