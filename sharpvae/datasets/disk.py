"""A disk that takes no more, told in plain words."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from sharpvae.errors import UserError


def amount(count: int) -> str:
    """A number of bytes as one reads it: `12.3 MB`."""
    for unit, size in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1000)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"


def unwritable(folder: Path, what: str, needed: int, error: OSError) -> UserError:
    """Why `what` could not be written to `folder`.

    Call it once whatever was half written is removed: what is free then is what there is.

    Args:
        needed: bytes that `what` takes up; 0 where unknown.
    """
    room = f"room for {what}" + (f", {amount(needed)}" if needed else "")
    if error.errno not in (errno.ENOSPC, errno.EDQUOT):
        reason = error.strerror or str(error)
        return UserError(str(folder), room, f"cannot be written: {reason}")
    full = "the disk is full" if error.errno == errno.ENOSPC else "the disk quota is used up"
    return UserError(
        str(folder), room, f"{full}: {_free(folder)}",
        "make room there, or put a link in its place to a folder on a larger disk",
    )  # fmt: skip


def _free(folder: Path) -> str:
    """What is free on the disk of `folder`, or of the nearest parent that there is."""
    for place in (folder, *folder.absolute().parents):
        if place.is_dir():
            files = "" if os.statvfs(place).f_favail or not os.statvfs(place).f_files else (
                ", but no more files can be made on it"
            )  # fmt: skip
            return f"{amount(shutil.disk_usage(place).free)} free{files}"
    return "nothing is known of what is free"
