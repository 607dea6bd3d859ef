"""States of one training on disk: each written whole, checked when read, few at a time."""

from __future__ import annotations

import hashlib
import os
import pickle
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, cast

import torch

from sharpvae.core.files import force, locked

_KEPT = 2  # the newest, and the one before it in case that is damaged
_NAME = re.compile(r"(?P<step>\d{12})-(?P<digest>[0-9a-f]{64})\.pt")
_UNFINISHED = ".unfinished"
_PATIENCE = 50  # times the cost of the last one


class Checkpoints:
    """The checkpoints in one directory, which belongs to one training.

    A checkpoint is a file whose name tells the update and the SHA-256 of its content. It is written
    under another name, forced to disk and renamed, so a file of that name was whole once; the
    digest finds out whether it still is.

    Args:
        directory: may not be there yet.
        say: is told, in one line, of what did not go well and could be helped.
        every: seconds from one checkpoint to the next; more where it takes long to write one.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        directory: Path,
        say: Callable[[str], None],
        every: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory, self.say, self.every, self.clock = directory, say, every, clock
        self.written, self.cost = clock(), 0.0  # the last one, or the start; how long it took

    def due(self) -> bool:
        """Whether it is time for the next one.

        Of the time at most a fiftieth goes into checkpoints, but where `every` is 0.
        """
        wait = max(self.every, _PATIENCE * self.cost) if self.every > 0 else 0.0
        return self.clock() - self.written >= wait

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep other processes that train the same out of the directory, or wait for them."""
        with ExitStack() as stack:
            while True:
                self.directory.mkdir(parents=True, exist_ok=True)
                try:
                    stack.enter_context(locked(self.directory, self._wait))
                    break
                except FileNotFoundError:  # the other one has come to its end, and removed it
                    continue
            yield

    def _wait(self) -> None:
        self.say("another process trains just this: waiting for its end")

    def save(self, step: int, state: dict[str, Any]) -> bool:
        """Write a checkpoint and remove all but the newest two; whether there was room for it.

        Called, as `newest` and `remove` are, while the directory is `held`.

        Args:
            step: updates done.
            state: tensors and plain values only.
        """
        unfinished, began = self.directory / _UNFINISHED, self.clock()
        try:
            digest = _write(unfinished, state)
            os.replace(unfinished, self.directory / f"{step:012d}-{digest}.pt")
            force(self.directory)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            before = self._all()
            left = f"the one of update {_step(before[0])} stays" if before else "there is none yet"
            self.say(f"no checkpoint at update {step}: {error.strerror or error}; {left}")
            return False
        finally:
            self.written = self.clock()
            self.cost = self.written - began
        for old in self._all()[_KEPT:]:
            old.unlink(missing_ok=True)
        return True

    def newest(self) -> dict[str, Any] | None:
        """The state of the newest checkpoint that is whole; None where there is none.

        Damaged ones are removed and spoken of. Tensors come on the CPU. Reading runs no code.
        """
        (self.directory / _UNFINISHED).unlink(missing_ok=True)
        for path in self._all():
            found = _read(path)
            if found is not None:
                return found
            path.unlink()
            self.say(f"the checkpoint of update {_step(path)} is damaged: trying the one before it")
        return None

    def remove(self) -> None:
        """Remove the directory, with whatever else was put there."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _all(self) -> list[Path]:
        """Checkpoints, the newest first."""
        if not self.directory.is_dir():
            return []
        found = [path for path in self.directory.iterdir() if _NAME.fullmatch(path.name)]
        return sorted(found, key=lambda path: path.name, reverse=True)


class _Hashing:
    """A file that knows the digest of what was written to it, and keeps its first error to itself.

    PyTorch's writer ends the process where a write fails in its destructor.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        if self.error is None:
            try:
                self.file.write(data)
                self.digest.update(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Nothing to do: `_write` flushes."""


def _write(path: Path, state: dict[str, Any]) -> str:
    """Write and force to disk; the digest."""
    with path.open("wb") as file:
        hashing = _Hashing(file)
        torch.save(state, cast(IO[bytes], hashing))  # which writes and flushes, no more
        if hashing.error is not None:
            raise hashing.error
        file.flush()
        os.fsync(file.fileno())
    return hashing.digest.hexdigest()


def _read(path: Path) -> dict[str, Any] | None:
    """The state, or None where the file is not what its name says."""
    match = _NAME.fullmatch(path.name)
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if match is None or digest != match["digest"]:
                return None
            file.seek(0)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return state
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None


def _step(path: Path) -> int:
    return int(path.name.partition("-")[0])
