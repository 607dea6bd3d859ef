"""Archives from strangers, unpacked whole or not at all, and never outside their folder."""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import struct
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

from sharpvae.core.console import Progress
from sharpvae.core.errors import UserError
from sharpvae.core.files import amount, clear_abandoned, locked, unwritable
from sharpvae.datasets.download import GZIP_MAGIC

RATIO = 100  # an archive may unpack to this many times its size ...
SLACK = 1 << 24  # ... and this many bytes more, for small ones
_CHUNK = 1 << 18
_BLOCK = 512  # of a tar file; two of zeros mark its end
_DAMAGED = (
    tarfile.TarError, zlib.error, struct.error, EOFError, ValueError,
)  # fmt: skip
_ANEW = "remove it and get it anew"


def unpacked(archive: Path, folder: Path, progress: Progress) -> Path:
    """Unpack a .tar or .tar.gz (.tgz) file into `folder`, which appears whole or not at all.

    A `folder` that is there and not empty came about so before, and is returned at once. Of
    several processes one unpacks and the others wait. Modes and owners of members are ignored.

    Raises:
        UserError: the archive is of another kind, truncated, damaged, or too large when unpacked;
            a member is a link, a device or a pipe, or points out of the folder; there is none; or
            the disk is full.
    """
    sink = _Sink(archive, progress)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.parent, lambda: progress.note(f"{folder}: another process is at it")):
            if not _filled(folder):
                clear_abandoned(folder)
                _unpack(archive, folder, sink)
    except _DAMAGED as error:
        raise _broken(archive, str(error) or type(error).__name__) from None
    except OSError as error:
        if error.errno is None:  # not of the system, but of gzip
            raise _broken(archive, str(error)) from None
        if error.filename == str(archive):
            raise UserError(str(archive), "a readable file", error.strerror or "") from None
        raise unwritable(folder, f"what {archive.name} holds", 0, error) from None
    return folder


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _unpack(archive: Path, folder: Path, sink: _Sink) -> None:
    """Unpack to a temporary sibling of `folder` and rename that."""
    with archive.open("rb") as opened:
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.new.", dir=folder.parent))
        try:
            staging.chmod(0o755)  # mkdtemp makes it private to the user
            sink.staging = staging
            head = opened.read(4)
            opened.seek(0)
            if head.startswith(GZIP_MAGIC):
                with gzip.GzipFile(fileobj=opened) as stream:
                    _untar(stream, opened, sink)
            else:
                _untar(opened, opened, sink)
            if not _filled(staging):
                raise UserError(str(archive), "files to unpack", "none", _ANEW)
            os.replace(staging, folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _untar(stream: Any, opened: BinaryIO, sink: _Sink) -> None:
    """Unpack a tar file; `opened` is the archive itself, `stream` what is in it after gzip."""
    tape = _Tape(stream, sink)
    size = os.fstat(opened.fileno()).st_size
    with tarfile.TarFile(fileobj=tape) as tar:  # type: ignore[arg-type]  # all that it calls
        for member in tar:
            _check_member(member, sink)
            if member.isdir():
                sink.make_folder(member.name)
            elif (source := tar.extractfile(member)) is not None:
                sink.write(member.name, source, lambda: (opened.tell(), size), member.size)
        if tape.last != bytes(_BLOCK):  # tarfile takes a cut or broken header for the end
            raise EOFError("it ends before its end mark, or is damaged there")
    while tape.read(_CHUNK):
        pass  # gzip keeps its checksum for last


def _check_member(member: tarfile.TarInfo, sink: _Sink) -> None:
    if member.issym():
        raise sink.refused(member.name, "a symbolic link")
    if member.islnk():
        raise sink.refused(member.name, "a hard link")
    if not (member.isreg() or member.isdir()):
        raise sink.refused(member.name, "a device or a pipe")
    sink.place(member.name)
    if hasattr(tarfile, "data_filter"):  # from Python 3.11.4 on; a second opinion
        try:
            tarfile.data_filter(member, str(sink.staging))
        except tarfile.FilterError as error:
            raise sink.refused(member.name, f"not to be trusted ({error})") from None


class _Tape:
    """What tarfile reads from: it ends with an error where a bomb would go on."""

    def __init__(self, stream: Any, sink: _Sink) -> None:
        self._stream, self._sink, self.last = stream, sink, b""

    def read(self, size: int) -> bytes:
        """As of a file; never more than the bound."""
        left = max(self._sink.bound + 1 - self.tell(), 0)
        self.last = self._stream.read(min(size, left))
        self._sink.check_bound(self.tell())
        return self.last

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of a file; tarfile seeks from the start alone."""
        if whence == 0:
            self._sink.check_bound(offset)
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        """As of a file."""
        return self._stream.tell()


class _Sink:
    """Writes members below one folder and nowhere else.

    Attributes:
        staging: that folder.
        written: bytes so far.
        bound: the most bytes that the archive may unpack to.
    """

    def __init__(self, archive: Path, progress: Progress) -> None:
        self.archive, self._progress = archive, progress
        self.staging = Path()
        self.written = 0
        self.bound = SLACK + RATIO * (archive.stat().st_size if archive.is_file() else 0)

    def place(self, name: str) -> Path:
        """Where a member belongs; refuses one that belongs outside."""
        if name.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", name):
            raise self.refused(name, "at an absolute path")
        if ".." in re.split(r"[/\\]", name):
            raise self.refused(name, "outside of the folder to unpack into")
        if "\0" in name:
            raise self.refused(name, "of an impossible name")
        return self.staging / name

    def make_folder(self, name: str) -> None:
        """Make the folder that a member is."""
        self._make(name, self.place(name))

    def write(
        self, name: str, source: IO[bytes], position: Callable[[], tuple[int, int]], size: int
    ) -> None:
        """Write the file that a member is; `position` says how far the work has come."""
        target, before = self.place(name), self.written
        self._make(name, target.parent)
        try:
            file = target.open("xb")
        except FileExistsError:
            raise self.refused(name, "in it twice") from None
        except OSError as error:
            raise self._named(name, error) from None
        with file:
            while chunk := source.read(_CHUNK):
                self.written += len(chunk)
                self.check_bound(self.written)
                file.write(chunk)
                self._progress.step(f"unpacking {self.archive.name}", *position(), unit="bytes")
        if self.written - before != size:
            raise EOFError(f"it ends within {name!r}")

    def check_bound(self, count: int) -> None:
        """Refuse an archive that unpacks to more than its size lets one expect."""
        if count > self.bound:
            raise UserError(
                str(self.archive), f"at most {amount(self.bound)} when unpacked",
                "more than that, so much that it looks made to fill the disk",
                "if you trust it, unpack it by hand and set data.path to the folder",
            )  # fmt: skip

    def refused(self, name: str, what: str) -> UserError:
        """The error for a member that is `what`."""
        return UserError(
            str(self.archive), "plain files and folders within the archive",
            f"{name!r}, which is {what}",
            f"{_ANEW}; if it is the same again and you trust it, unpack it by hand and set "
            "data.path to the folder",
        )  # fmt: skip

    def _make(self, name: str, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise self.refused(name, "below a file instead of a folder") from None
        except OSError as error:
            raise self._named(name, error) from None

    def _named(self, name: str, error: OSError) -> Exception:
        """A full disk is not the fault of a member; a name that no disk takes is."""
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ):
            return self.refused(name, "of a name that cannot be had on this disk")
        return error


def _broken(archive: Path, why: str) -> UserError:
    return UserError(str(archive), "a whole .tar or .tar.gz file", why, _ANEW)
