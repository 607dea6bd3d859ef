"""Files and directories written whole or not at all, by one process at a time."""

from __future__ import annotations

import errno
import fcntl
import glob
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sharpvae.core.errors import UserError
from sharpvae.core.system import placed

# What can be a part of a path, and of the name of a DVC stage: a variant's name.
NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,99}"

# Errors of a file system that cannot lock a directory, as some network file systems.
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def locked(directory: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `directory` for the block; nobody else enters a block of the same directory.

    The lock is on the directory itself, so no file is left behind. It is not re-entrant: a second
    `locked` of the same directory inside the block would wait forever. Where the file system has
    no locks the block runs without one.

    Args:
        on_wait: called once, where somebody else holds it, before waiting.

    Raises:
        OSError: there is no such directory, or it cannot be read.
    """
    handle = _wait_for(directory, on_wait)
    try:
        yield
    finally:
        unlock(handle)


def try_lock(directory: Path) -> int | None:
    """Hold `directory` from now on, or None where that cannot be had at once.

    Returns:
        what `unlock` takes to let go again.
    """
    try:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return None
    if _still_there(handle, directory):
        return handle
    os.close(handle)
    return None


def unlock(handle: int) -> None:
    """Let go of what `try_lock` gave."""
    try:
        # Closing alone would not do where a forked child still has the same open directory.
        fcntl.flock(handle, fcntl.LOCK_UN)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    finally:
        os.close(handle)


def _wait_for(directory: Path, on_wait: Callable[[], None] | None) -> int:
    """The open directory, locked; opened anew where it was replaced during the wait."""
    while True:
        handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            on_wait = _lock(handle, on_wait)
            if _still_there(handle, directory):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)


def _lock(handle: int, on_wait: Callable[[], None] | None) -> Callable[[], None] | None:
    """Lock, waiting if need be; returns what is left to call at a further wait."""
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if on_wait is not None:
                on_wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
            return None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return on_wait


def _still_there(handle: int, directory: Path) -> bool:
    """Whether the path still names the directory that was opened."""
    try:
        return os.path.samestat(os.fstat(handle), os.stat(directory))
    except FileNotFoundError:
        return False


_RETIRED = "retired"  # the old directory, inside its temporary one, while the new one moves in


@contextmanager
def fresh_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its place on success.

    On any exception, Ctrl-C included, the temporary directory is removed and whatever stood at
    `path` before still stands there. What killed processes left behind is cleared away first.
    Several processes may write the same `path` at once: each result is whole, the last one stays.
    The temporary directory is locked for the block, so `path` must not lie right in another one.

    Raises:
        OSError: the parent cannot be made or written to.
    """
    with scratch_directory(path) as staging, placed(path):
        staging.chmod(0o755)  # it is made private to the user
        yield staging
        replace_directory(staging, path)


@contextmanager
def scratch_directory(path: Path) -> Iterator[Path]:
    """Yield a directory beside `path`, private to the user, that is removed after the block.

    What killed processes left of others for the same `path` is cleared away first.

    Raises:
        OSError: the parent cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):  # or another process would take it for abandoned before its lock
        clear_abandoned(path)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.new.", dir=path.parent))
        lock = try_lock(staging)
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            unlock(lock)


def require_writable(path: Path) -> None:
    """Find out before the work, rather than after it, that `path` could not be written.

    Nothing is left behind, folders above it neither.

    Raises:
        OSError: `fresh_directory` of it would fail.
    """
    missing = [parent for parent in path.parents if not parent.exists()]  # the deepest first
    with scratch_directory(path):
        pass
    for parent in missing:
        with suppress(OSError):  # another process has put something there
            parent.rmdir()


def clear_abandoned(path: Path) -> None:
    """Remove what killed processes left of writing `path`; the caller has locked its parent.

    A process killed in the middle of `replace_directory` has its old directory put back.
    """
    name = glob.escape(path.name)
    for retired in path.parent.glob(f".{name}.old.*/{_RETIRED}"):
        if not path.exists():
            os.replace(retired, path)
    for abandoned in (*path.parent.glob(f".{name}.old.*"), *path.parent.glob(f".{name}.new.*")):
        lock = try_lock(abandoned)
        if lock is not None:  # else it is in use by a live process
            shutil.rmtree(abandoned, ignore_errors=True)
            unlock(lock)


def replace_directory(source: Path, target: Path) -> None:
    """Move `source` to `target`, taking away a directory that is already there.

    The parent of `target` is locked meanwhile, so that two processes do so one after the other.
    """
    with locked(target.parent):
        if not target.exists():
            os.replace(source, target)
            return
        retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        os.replace(target, retired / _RETIRED)
        try:
            os.replace(source, target)
        except BaseException:
            os.replace(retired / _RETIRED, target)
            raise
        finally:
            shutil.rmtree(retired, ignore_errors=True)


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path as typed, with `~` for a home; one that nobody has stays as it is."""
    return Path(os.path.expanduser(path))


def force(path: Path) -> None:
    """Have what was written to a file, or the names in a directory, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path`, atomically."""
    with _replacing(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8", newline="\n")


def copy_file(source: Path, target: Path) -> Path:
    """Copy the contents of `source` to `target`, atomically."""
    with _replacing(target) as unfinished:
        shutil.copyfile(source, unfinished)
    return target


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place on success and is removed on failure."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    try:
        with placed(path):
            yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in the order given; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON artefact of an earlier stage.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        expected = "a file that an earlier stage writes"
        fix = "run the whole pipeline with: dvc repro"
        raise UserError(str(path), expected, "no such file", fix) from None
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, too
        fix = "remove it and run: dvc repro"
        deep = "too many lists or mappings in one another"
        found = deep if isinstance(error, RecursionError) else str(error)
        raise UserError(str(path), "valid JSON", found, fix) from None


_MOVE = "move what lies there out of the way"
_MEANINGS = {  # number of the error -> what was expected, and what to do
    errno.ENOENT: ("a file or folder that is there", "make it anew: dvc repro"),
    errno.EACCES: ("leave to read and write it", "ls -ld says whose it is, chmod gives leave"),
    errno.EPERM: ("leave to read and write it", "ls -ld says whose it is, chattr and chown help"),
    errno.EROFS: ("a disk that can be written to", "mount it so, or work in another folder"),
    errno.EIO: ("a disk that reads and writes", "it fails: see dmesg, and go to another disk"),
    errno.ENOTDIR: ("a folder on the way to it, and no file", _MOVE),
    errno.EEXIST: ("a folder, or nothing", _MOVE),
    errno.EISDIR: ("a file, or nothing", _MOVE),
    errno.ENAMETOOLONG: ("a name that the disk takes", "use shorter names, or a higher folder"),
}


def worded(error: OSError) -> UserError | None:
    """The message for an error of the system that names its file; None for any other."""
    if error.errno is None or not isinstance(error.filename, str | bytes):
        return None
    path = Path(os.fsdecode(error.filename))
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return unwritable(path.parent, f"what is written to {path.name}", 0, error)
    expected, fix = _MEANINGS.get(error.errno, ("a file or folder that can be used", ""))
    return UserError(str(path), expected, error.strerror or str(error), fix)


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
        "make room there, or move to a larger disk (docs/machines.md, When the disk is full)",
    )  # fmt: skip


def _free(folder: Path) -> str:
    """What is free on the disk of `folder`, or of the nearest parent that there is."""
    for place in (folder, *folder.absolute().parents):
        if place.is_dir():
            disk = os.statvfs(place)
            full = disk.f_files > 0 and disk.f_favail == 0
            files = ", but no more files can be made on it" if full else ""
            return f"{amount(shutil.disk_usage(place).free)} free{files}"
    return "nothing is known of what is free"
