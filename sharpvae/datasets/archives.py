"""Files from the network: compared with what is published, unpacked whole or not at all."""

from __future__ import annotations

import errno
import gzip
import hashlib
import os
import re
import shutil
import struct
import sys
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

from sharpvae.core.console import Progress
from sharpvae.core.errors import UserError
from sharpvae.core.files import amount, clear_abandoned, locked, unwritable
from sharpvae.datasets.catalogue import File

GZIP_MAGIC = b"\x1f\x8b"
RATIO = 100  # an archive may unpack to this many times its size ...
SLACK = 1 << 24  # ... and this many bytes more, for small ones
_CHUNK = 1 << 18
_BLOCK = 512  # of a tar file; two of zeros mark its end
_DAMAGED = (tarfile.TarError, zlib.error, struct.error, EOFError, ValueError)
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)  # names that no disk takes
_ANEW = "remove it and get it anew"
_BY_HAND = "unpack it by hand and set data.path to the folder"
_MISPLACED = {
    r"[/\\]|[A-Za-z]:[/\\]": "at an absolute path",
    r"(.*[/\\])?\.\.([/\\]|$)": "outside of the folder to unpack into",
    r".*\0": "of an impossible name",
}


def fault(path: Path, file: File) -> str | None:
    """What is wrong with `path` as a copy of `file`; None where its bytes are right.

    Where the digest is of unpacked bytes, the file may be packed by gzip or not, whatever its name.
    No more is unpacked than the entry's size, so that a gzip bomb costs nothing. Without a digest,
    only an empty file or a web page is recognized.
    """
    try:
        with path.open("rb") as opened:
            head = opened.read(512)
            if not head:
                return "an empty file"
            if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
                return "an HTML or XML page instead of the file"
            if file.digest is None:
                return None
            opened.seek(0)
            packed = file.unpacked and head.startswith(GZIP_MAGIC)
            stream = gzip.GzipFile(fileobj=opened) if packed else opened
            return _difference(stream, file, *file.digest.split(":"))
    except EOFError:
        return "a truncated gzip file: it ends before its contents do"
    except (gzip.BadGzipFile, zlib.error) as error:
        return f"a damaged gzip file: {error}"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"


def _difference(stream: Any, file: File, algorithm: str, digest: str) -> str | None:
    found, count = hashlib.new(algorithm, usedforsecurity=False), 0
    most = sys.maxsize if file.size is None else file.size
    while count <= most and (chunk := stream.read(min(_CHUNK, most + 1 - count))):
        found.update(chunk)
        count += len(chunk)
    if count > most:
        how = " after unpacking" if file.unpacked else ""
        return f"more than the {file.size} bytes expected{how}"
    if not found.hexdigest().startswith(digest):
        return f"wrong contents: {count} bytes with {algorithm} {found.hexdigest()}"
    return None


def unpacked(archive: Path, folder: Path, progress: Progress) -> Path:
    """Unpack a .tar or .tar.gz (.tgz) file into `folder`, which appears whole or not at all.

    A `folder` that is not empty is returned at once. Of several processes one unpacks and the
    others wait. Modes and owners of members are ignored.

    UserError where the archive is of another kind, damaged, empty, or too large when unpacked; a
    member is a link, a device or a pipe, or points out of the folder; or the disk is full.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent, lambda: progress.note(f"{folder}: another process is at it")):
            if not (folder.is_dir() and any(folder.iterdir())):
                clear_abandoned(folder)
                _unpack(archive, folder, progress)
    except (*_DAMAGED, OSError) as error:
        if not isinstance(error, OSError) or error.errno is None:  # gzip's own have no number
            why = str(error) or type(error).__name__
            raise UserError(str(archive), "a whole .tar or .tar.gz file", why, _ANEW) from None
        if error.filename == str(archive):
            raise UserError(str(archive), "a readable file", error.strerror or "") from None
        raise unwritable(folder, f"what {archive.name} holds", 0, error) from None
    return folder


def _unpack(archive: Path, folder: Path, progress: Progress) -> None:
    """Unpack to a temporary sibling of `folder` and rename that."""
    with archive.open("rb") as opened:
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new.", dir=folder.parent))
        try:
            staging.chmod(0o755)  # mkdtemp makes it private to the user
            tape = _Tape(archive, opened, progress)
            with tarfile.TarFile(fileobj=tape) as tar:  # type: ignore[arg-type]  # all it calls
                size = 0
                for member in tar:
                    size += member.size
                    tape.check_bound(size)
                    _extract(tar, member, staging, archive)
                if tape.last != bytes(_BLOCK):  # tarfile takes a cut or broken header for the end
                    raise EOFError("it ends before its end mark, or is damaged there")
            while tape.read(_CHUNK):
                pass  # gzip keeps its checksum for last
            if not any(staging.iterdir()):
                raise UserError(str(archive), "files to unpack", "none", _ANEW)
            os.replace(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, staging: Path, archive: Path) -> None:
    target = staging / member.name
    wrong = _wrong(member)
    if not wrong and os.path.lexists(target) and not (member.isdir() and target.is_dir()):
        wrong = "in it twice"
    if not wrong:
        try:
            return tar.extract(member, staging, set_attrs=False, filter="data")
        except tarfile.FilterError as error:
            wrong = f"not to be trusted ({error})"
        except (FileExistsError, NotADirectoryError):
            wrong = "below a file instead of a folder"
        except OSError as error:
            if error.errno not in _IMPOSSIBLE:  # as for a full disk
                raise
            wrong = "of a name that cannot be had on this disk"
    raise UserError(
        str(archive), "plain files and folders within the archive",
        f"{member.name!r}, which is {wrong}",
        f"{_ANEW}; if it is the same again and you trust it, {_BY_HAND}",
    )  # fmt: skip


def _wrong(member: tarfile.TarInfo) -> str:
    """Why a member must not be unpacked, by its header; "" where it may be."""
    if member.issym() or member.islnk():
        return "a symbolic link" if member.issym() else "a hard link"
    if not (member.isreg() or member.isdir()):
        return "a device or a pipe"
    places = (why for name, why in _MISPLACED.items() if re.match(name, member.name, re.DOTALL))
    return next(places, "")


class _Tape:
    """The stream that tarfile reads, bounded against bombs; `last` is what was read last."""

    def __init__(self, archive: Path, opened: BinaryIO, progress: Progress) -> None:
        self._archive, self._opened, self._progress = archive, opened, progress
        self._size = os.fstat(opened.fileno()).st_size
        self._bound = SLACK + RATIO * self._size
        packed = opened.read(2) == GZIP_MAGIC
        opened.seek(0)
        self._stream: Any = gzip.GzipFile(fileobj=opened) if packed else opened
        self.tell, self.last = self._stream.tell, b""

    def read(self, size: int) -> bytes:
        self.last = self._stream.read(min(size, max(self._bound + 1 - self.tell(), 0)))
        self.check_bound(self.tell())
        title = f"unpacking {self._archive.name}"
        self._progress.step(title, self._opened.tell(), self._size, unit="bytes")
        return self.last

    def seek(self, offset: int) -> int:
        self.check_bound(offset)
        return self._stream.seek(offset)

    def check_bound(self, count: int) -> None:
        if count > self._bound:
            raise UserError(
                str(self._archive), f"at most {amount(self._bound)} when unpacked",
                "more than that, so much that it looks made to fill the disk",
                f"if you trust it, {_BY_HAND}",
            )  # fmt: skip
