"""One process at a time in a directory, with real processes."""

from __future__ import annotations

import errno
import fcntl
import signal
import threading
import time
from pathlib import Path

import pytest

from sharpvae.core.files import locked, try_lock, unlock
from tests.processes import go_on, running, told

HOLD = """
import sys
from pathlib import Path
from sharpvae.core.files import locked
with locked(Path(sys.argv[1]), lambda: print("waits")):
    print("holds")
    input()
print("left")
"""


def test_a_lock_leaves_no_file_and_can_be_had_again(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path, lambda: pytest.fail("nobody holds it")):
            assert try_lock(tmp_path) is None
    handle = try_lock(tmp_path)
    assert handle is not None
    unlock(handle)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_in_the_block_lets_go(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path):
        raise KeyboardInterrupt
    with locked(tmp_path, lambda: pytest.fail("nobody holds it")):
        pass


def test_the_second_process_tells_once_and_waits(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as first:
        assert told(first) == "holds"
        assert try_lock(tmp_path) is None
        with running(HOLD, tmp_path) as second:
            assert told(second) == "waits"
            time.sleep(0.05)
            go_on(first)
            assert told(second) == "holds"
            assert told(first) == "left"


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    with running(HOLD, tmp_path) as process:
        assert told(process) == "holds"
        waited = []
        threading.Timer(0.05, process.send_signal, [signal.SIGKILL]).start()
        with locked(tmp_path, lambda: waited.append(True)):
            assert process.wait() == -signal.SIGKILL
        assert waited == [True]


def test_a_directory_replaced_during_the_wait_is_locked_anew(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    with running(HOLD, place) as first:
        assert told(first) == "holds"
        with running(HOLD, place) as second:
            assert told(second) == "waits"
            place.rename(tmp_path / "moved")
            place.mkdir()
            go_on(first)
            assert told(second) == "holds"
            assert try_lock(place) is None


def test_what_is_no_directory_cannot_be_locked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("file", "missing"):
        assert try_lock(tmp_path / name) is None
        with pytest.raises(OSError), locked(tmp_path / name):  # noqa: PT011  # either kind
            pass


def test_a_file_system_without_locks_is_worked_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert try_lock(tmp_path) is None
    with locked(tmp_path):
        pass
