"""Where checkpoints lie, how a training goes on from them, and what it leaves when it fails."""

from __future__ import annotations

import errno
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sharpvae.config.stage_files import TrainStage
from sharpvae.errors import UserError

if TYPE_CHECKING:
    import torch

    from sharpvae.training.checkpoints import Checkpoints
    from sharpvae.training.loop import Trainer
    from sharpvae.training.ticket import Ticket

PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")
_PROJECT = Path(__file__).parents[1]


def root() -> Path:
    """Of the repository that DVC was called in; what lies there outlives `dvc exp run --temp`."""
    return Path(os.environ.get("DVC_ROOT", "."))


def open_checkpoints(
    config: TrainStage, seed: int, device: torch.device
) -> tuple[Checkpoints, Ticket]:
    """The checkpoints of this very training, and what it is."""
    from sharpvae.devices import describe
    from sharpvae.training.checkpoints import Checkpoints
    from sharpvae.training.fingerprint import fingerprint, identity
    from sharpvae.training.loss_networks import weight_files
    from sharpvae.training.ticket import FOLDER, new_ticket

    # The card has the digests of the images, which may be many gigabytes.
    labels = list(PREPARED.glob("*_labels.npy"))
    read = sorted([PREPARED / "card.json", CRITIC, *labels, *weight_files(config.loss)])
    parts = identity(config, seed, device, read, _PROJECT / "stages/train.py", _PROJECT)
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
    from sharpvae.training.ticket import interrupted_before, read_ticket, write_ticket

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
    from sharpvae.processes import first_says, is_first

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


@contextmanager
def mishaps(config: TrainStage, trainer: Trainer, checkpoints: Checkpoints) -> Iterator[None]:
    """Give what may go wrong in training a message that helps, and evidence."""
    import torch

    from sharpvae.processes import is_first
    from sharpvae.training.guard import NotFinite

    try:
        yield
    except NotFinite as error:
        path = checkpoints.directory / "not_finite.pt"
        if is_first():
            with suppress(OSError):  # on a full disk: the message matters more
                torch.save(trainer.evidence(error), path)
                error.add(f"its batch, noise and weights are in {path} (docs/training.md)")
        raise
    except Exception as error:
        known = explained(error, config, trainer, checkpoints)
        if known is None:
            raise
        raise known from error


def explained(
    error: Exception, config: TrainStage, trainer: Trainer, checkpoints: Checkpoints
) -> UserError | None:
    """What to tell the user of an error that is none of the program's; None of any other."""
    from sharpvae.datasets.disk import unwritable
    from sharpvae.training.build import classes
    from sharpvae.training.memory import is_out_of_memory, out_of_memory

    if is_out_of_memory(error):
        shape = trainer.train.channels, trainer.train.image_size
        return out_of_memory(config, shape, classes(config, PREPARED), error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        full = Path(error.filename or checkpoints.directory).parent
        return unwritable(full, "what training writes", 0, error)
    origin = {base.__module__.partition(".")[2].split(".")[0] for base in type(error).__mro__}
    if config.train.compile and origin & {"_dynamo", "_inductor"}:
        return UserError(
            f"variants.{config.variant}.train.compile",
            "what torch.compile needs, on a CPU a C++ compiler",
            " ".join(str(error).split())[:200],
            "install it, or set train.compile: false",
        )
    return None
