"""Which training this is, its states on disk, and how it resumes from them."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import platform
import secrets
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, cast

import torch
from pydantic import TypeAdapter, ValidationError

from sharpvae.core.devices import describe, resolved
from sharpvae.core.errors import UserError
from sharpvae.core.files import force, locked, read_json, try_lock, unlock, write_json
from sharpvae.distributed.processes import broadcast, is_first
from sharpvae.training.build import CRITIC, PREPARED, weight_files
from sharpvae.training.config import TrainStage
from sharpvae.training.loop import Trainer

# The folders of sharpvae/ that `train` lists in dvc.yaml: the code that the weights depend on.
CODE = ("core", "images", "vae", "perception", "distributed", "objective", "training")
_LIBRARY = Path(__file__).parents[1]
# What shows a training but does not make it.
_NO_PART: Any = {"logging": True, "train": {"checkpoint_every"}}
FOLDER = ".checkpoints"  # of a repository; a directory of it for each interrupted training
_TICKET = "training.json"
_KEPT = 2  # the newest, and the one before it in case that is damaged
NAMES = "[0-9]" * 12 + "-*.pt"  # the update and the digest
_UNFINISHED = ".unfinished"
_PATIENCE = 50  # times the cost of the last one


def identity(
    config: TrainStage, seed: int, device: torch.device, data: Iterable[Path], library: Path
) -> dict[str, str]:
    """Everything that the weights depend on, as one word each.

    Args:
        device: its kind counts, not its number.
        data: files and directories that are read; their contents count, not their places.
        library: the package sharpvae, of which the folders in `CODE` count.
    """
    settings = config.model_dump(mode="json", exclude=_NO_PART)
    code = (path for folder in CODE for path in sorted((library / folder).rglob("*.py")))
    return {
        "config": _digest([json.dumps(settings, sort_keys=True).encode()]),
        "seed": str(seed),
        "data": contents(data),
        "code": _digest(
            part
            for path in code
            for part in (str(path.relative_to(library)).encode(), path.read_bytes())
        ),
        "torch": torch.__version__,
        "device": device.type,
        "precision": resolved(config.train.precision, device),
    }


def fingerprint(parts: Mapping[str, str]) -> str:
    """32 hexadecimal digits that change with any part."""
    return _digest([json.dumps(dict(parts), sort_keys=True).encode()])[:32]


def contents(paths: Iterable[Path]) -> str:
    """Digest of files, and of those of directories, by their names there and their bytes."""
    parts: list[bytes] = []
    for place in paths:
        inside = sorted(path for path in place.rglob("*") if path.is_file())
        for path in inside if place.is_dir() else [place]:
            parts.append(str(path.relative_to(place.parent)).encode())
            with path.open("rb") as file:
                parts.append(hashlib.file_digest(file, "sha256").digest())
    return _digest(parts)


def _digest(parts: Iterable[bytes]) -> str:
    """Each part with its length, so that no two lists of parts give the same bytes."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{len(part)}:".encode() + part)
    return whole.hexdigest()


@dataclass(frozen=True)
class Ticket:
    """Which training it is."""

    variant: str  # as in params.yaml
    seed: int
    machine: str  # device and threads that it began on; elsewhere, sums are rounded otherwise
    identity: dict[str, str]
    id: str = field(default_factory=lambda: secrets.token_hex(8))  # by it loggers know a run again

    def write(self, directory: Path) -> None:
        """Write it into the directory of the checkpoints."""
        write_json(directory / _TICKET, asdict(self))


def read_ticket(directory: Path) -> Ticket | None:
    """What `Ticket.write` wrote; None where it is missing or damaged."""
    try:
        return TypeAdapter(Ticket).validate_python(read_json(directory / _TICKET))
    except (UserError, ValidationError):
        return None


class Checkpoints:
    """The checkpoints in one directory, which belongs to one training.

    A checkpoint is a file named by its update and the SHA-256 of its content, written atomically;
    the digest shows whether it is still whole.

    Args:
        directory: may not exist yet.
        say: prints one line on what went wrong and was recovered from.
        every: seconds from one checkpoint to the next; more where it takes long to write one.
        clock: seconds, never decreasing.
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
        """Whether it is time for the next one; unless `every` is 0, they take 2 % of the time."""
        wait = max(self.every, _PATIENCE * self.cost) if self.every > 0 else 0.0
        return self.clock() - self.written >= wait

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the directory, or wait for another process that trains the same."""

        def wait() -> None:
            self.say("another process trains just this: waiting for its end")

        with ExitStack() as stack:
            while True:
                self.directory.mkdir(parents=True, exist_ok=True)
                with suppress(FileNotFoundError):  # the other one has ended, and removed it
                    stack.enter_context(locked(self.directory, wait))
                    break
            yield

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
            left = (
                f"the one of update {step_of(before[0])} stays" if before else "there is none yet"
            )
            self.say(f"no checkpoint at update {step}: {error.strerror or error}; {left}")
            return False
        finally:
            self.written = self.clock()
            self.cost = self.written - began
        for old in self._all()[_KEPT:]:
            old.unlink(missing_ok=True)
        return True

    def newest(self) -> dict[str, Any] | None:
        """The newest whole state, on the CPU, or None; reading runs no code.

        Damaged ones are removed, with a message.
        """
        (self.directory / _UNFINISHED).unlink(missing_ok=True)
        for path in self._all():
            found = read_state(path)
            if found is not None:
                return found
            path.unlink()
            self.say(
                f"the checkpoint of update {step_of(path)} is damaged: trying the one before it"
            )
        return None

    def remove(self) -> None:
        """Remove the directory, with whatever else was put there."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _all(self) -> list[Path]:
        """The newest first."""
        found = (path for path in self.directory.glob(NAMES) if path.is_file())
        return sorted(found, reverse=True)


class _Hashing:
    """A file with a digest of what was written to it, and its first error.

    It does not raise: PyTorch's writer ends the process where a write fails in its destructor.
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


def read_state(path: Path) -> dict[str, Any] | None:
    """The state, or None where the content does not fit the digest in the name."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != path.stem.partition("-")[2]:
                return None
            file.seek(0)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return state
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError):
        return None


def step_of(path: Path) -> int:
    """The updates done when a checkpoint was written, which its name begins with."""
    return int(path.name.partition("-")[0])


def root() -> Path:
    """The repository that DVC was called in, which remains after `dvc exp run --temp`."""
    return Path(os.environ.get("DVC_ROOT", "."))


def open_checkpoints(
    config: TrainStage, seed: int, device: torch.device
) -> tuple[Checkpoints, Ticket]:
    """The checkpoints of this training, and its ticket."""
    # The card has the digests of the images, which may be many gigabytes.
    labels = list(PREPARED.glob("*_labels.npy"))
    losses = [config.loss, *([config.before.loss] if config.before else [])]
    weights = {path for loss in losses for path in weight_files(loss)}
    read = sorted([PREPARED / "card.json", CRITIC, *labels, *weights])
    parts = identity(config, seed, device, read, _LIBRARY)
    directory, every = root() / FOLDER / fingerprint(parts), config.train.checkpoint_every
    checkpoints = Checkpoints(directory, lambda line: print(f"  {line}", flush=True), every)
    machine = f"{describe(device)} of {platform.node()}"
    return checkpoints, Ticket(config.variant, seed, machine, parts)


def register(checkpoints: Checkpoints, trainer: Trainer, ticket: Ticket) -> Ticket:
    """The ticket that a training began with, written if it is new; print why none is resumed."""
    directory = checkpoints.directory
    if trainer.update.step > 0:
        begun = read_ticket(directory) or ticket
        if begun.machine != ticket.machine:
            checkpoints.say(
                f"it began on {begun.machine}, and this is {ticket.machine}: from here on it "
                "equals an uninterrupted run to rounding, not bit for bit"
            )
        return begun
    for other in sorted(directory.parent.iterdir()):
        before = read_ticket(other) if other != directory and _interrupted(other) else None
        if before is None or (before.variant, before.seed) != (ticket.variant, ticket.seed):
            continue
        parts = ticket.identity.items()
        changed = [name for name, part in parts if before.identity.get(name) != part]
        checkpoints.say(
            f"starting over: an interrupted training lies in {other}, but since then "
            f"{' and '.join(changed)} changed (see `sharpvae checkpoints`)"
        )
    ticket.write(directory)
    return ticket


def _interrupted(directory: Path) -> bool:
    """Whether there is a checkpoint, and no process that trains."""
    if not any(directory.glob("*.pt")):
        return False
    lock = try_lock(directory)
    if lock is not None:
        unlock(lock)
    return lock is not None


def resume(trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Load the newest checkpoint, if any; the same in all processes.

    Raises:
        UserError: this process reads another one than rank 0 did.
    """
    # Rank 0 removes what is damaged before the others look.
    state = checkpoints.newest() if is_first() else None
    step = int(broadcast(-1 if state is None else state["update"]["step"]))
    if step < 0:
        return
    if not is_first():
        state = checkpoints.newest()
    if state is None or state["update"]["step"] != step:
        raise UserError(
            str(checkpoints.directory),
            f"the checkpoint of update {step}, as the first process reads it",
            "none" if state is None else f"that of update {state['update']['step']}",
            "let all machines work in the same folder, on a file system that they share",
        )
    trainer.load_state_dict(state)
    if is_first():
        checkpoints.say(
            f"going on from the checkpoint at update {step}: {len(trainer.history)} epochs and "
            f"{trainer.done} of {trainer.steps} updates are done"
        )
