"""Which training this is, and how it goes on from its checkpoints."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sharpvae.core.devices import describe, resolved
from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json, try_lock, unlock, write_json
from sharpvae.distributed.processes import first_says, is_first
from sharpvae.training.build import weight_files
from sharpvae.training.checkpoints import Checkpoints
from sharpvae.training.config import TrainStage
from sharpvae.training.loop import Trainer

# The folders of sharpvae/ that `train` lists in dvc.yaml: the code that the weights depend on.
CODE = ("core", "images", "vae", "perception", "distributed", "objective", "training")
# What shows a training but does not make it.
_NO_PART: Any = {"logging": True, "train": {"checkpoint_every"}}


def identity(
    config: TrainStage,
    seed: int,
    device: torch.device,
    data: Iterable[Path],
    library: Path,
) -> dict[str, str]:
    """Everything that the weights depend on.

    Args:
        config: without `logging`, which they do not depend on.
        device: its kind counts, not its number.
        data: files and directories that are read; their contents count, not their places.
        library: the package sharpvae, of which the folders in `CODE` count.

    Returns:
        A word for each of config, seed, data, code, torch, device and precision, for
        `fingerprint`.
    """
    settings = config.model_dump(mode="json", exclude=_NO_PART)
    return {
        "config": _digest([json.dumps(settings, sort_keys=True).encode()]),
        "seed": str(seed),
        "data": contents(data),
        "code": _digest(
            part
            for folder in CODE
            for path in sorted((library / folder).rglob("*.py"))
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
    """Of parts, each with its length, so that no two lists of parts read alike."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(f"{len(part)}:".encode())
        whole.update(part)
    return whole.hexdigest()


FOLDER = ".checkpoints"  # of a repository; a directory of it for each interrupted training
_FILE = "training.json"


@dataclass(frozen=True)
class Ticket:
    """Which training it is.

    Attributes:
        variant, seed: as in params.yaml.
        id: drawn anew for each training from the start; by it loggers know a run again.
        machine: device and threads that it began on; sums in another order round otherwise.
        identity: of `fingerprint.identity`.
    """

    variant: str
    seed: int
    id: str
    machine: str
    identity: dict[str, str]


def new_ticket(variant: str, seed: int, machine: str, identity: dict[str, str]) -> Ticket:
    """For a training that begins now."""
    return Ticket(variant, seed, secrets.token_hex(8), machine, identity)


def write_ticket(directory: Path, ticket: Ticket) -> None:
    """Write it into the directory of the checkpoints."""
    write_json(directory / _FILE, asdict(ticket))


def read_ticket(directory: Path) -> Ticket | None:
    """What `write_ticket` wrote; None where there is none, or where it is damaged."""
    try:
        return Ticket(**read_json(directory / _FILE))
    except (UserError, TypeError):
        return None


def interrupted_before(directory: Path, ticket: Ticket) -> Iterator[str]:
    """A line for each training of the same variant and seed that cannot be gone on with, and why.

    Args:
        directory: of the checkpoints of the training that begins now.
    """
    for other in sorted(directory.parent.iterdir()):
        found = read_ticket(other) if other != directory and _left_lying(other) else None
        if found is None or (found.variant, found.seed) != (ticket.variant, ticket.seed):
            continue
        before = found.identity
        changed = [key for key, value in ticket.identity.items() if before.get(key) != value]
        yield (
            f"starting over: an interrupted training lies in {other}, but since then "
            f"{' and '.join(changed)} changed (python -m apps.checkpoints)"
        )


def _left_lying(directory: Path) -> bool:
    """Whether there is a checkpoint, and nobody who is training."""
    if not any(directory.glob("*.pt")):
        return False
    lock = try_lock(directory)
    if lock is not None:
        unlock(lock)
    return lock is not None


PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")
_LIBRARY = Path(__file__).parents[1]


def root() -> Path:
    """Of the repository that DVC was called in; what lies there outlives `dvc exp run --temp`."""
    return Path(os.environ.get("DVC_ROOT", "."))


def open_checkpoints(
    config: TrainStage, seed: int, device: torch.device
) -> tuple[Checkpoints, Ticket]:
    """The checkpoints of this very training, and what it is."""

    # The card has the digests of the images, which may be many gigabytes.
    labels = list(PREPARED.glob("*_labels.npy"))
    read = sorted([PREPARED / "card.json", CRITIC, *labels, *weight_files(config.loss)])
    parts = identity(config, seed, device, read, _LIBRARY)
    checkpoints = Checkpoints(
        root() / FOLDER / fingerprint(parts),
        lambda line: print(f"  {line}", flush=True),
        config.train.checkpoint_every,
    )
    return checkpoints, new_ticket(
        config.variant, seed, f"{describe(device)} of {platform.node()}", parts
    )


def register(checkpoints: Checkpoints, trainer: Trainer, ticket: Ticket) -> Ticket:
    """Say what this training has to do with those before it, and leave word for those after it.

    Returns:
        The ticket with which the training began.
    """

    if trainer.update.step > 0:
        begun = read_ticket(checkpoints.directory)
        if begun is not None and begun.machine != ticket.machine:
            checkpoints.say(
                f"it began on {begun.machine}, and this is {ticket.machine}: from here on it "
                "equals an uninterrupted run to rounding, not bit for bit"
            )
        return ticket if begun is None else begun
    for line in interrupted_before(checkpoints.directory, ticket):
        checkpoints.say(line)
    write_ticket(checkpoints.directory, ticket)
    return ticket


def go_on(trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Take up the newest checkpoint, where there is one; all processes the same.

    Raises:
        UserError: this process reads another one than the first did.
    """

    # The first one removes what is damaged before the others look.
    state = checkpoints.newest() if is_first() else None
    step = int(first_says(-1 if state is None else state["update"]["step"]))
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
