"""One process at a time in a directory; the kernel lets go when the process dies."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

# What a file system says that cannot lock a directory, as some network file systems.
_NO_LOCKS = {errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}


@contextmanager
def locked(directory: Path, on_wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold `directory` for the block; nobody else gets into a block of the same directory.

    The lock is on the directory itself, so no file is left behind. It is not re-entrant: a second
    `locked` of the same directory inside the block would wait for ever. Where the file system
    knows no locks the block runs without one.

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
