"""What lies beside the checkpoints of a training, so that a person knows whose they are."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sharpvae.artefacts import read_json, write_json
from sharpvae.errors import UserError
from sharpvae.locking import try_lock, unlock

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
