"""Several processes in one stage: what each says, and when all of them stop."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sharpvae.config.stage_files import TrainStage
from sharpvae.errors import UserError
from stages.console import INTERRUPTED

if TYPE_CHECKING:
    from sharpvae.training.loop import Trainer
    from sharpvae.training.records import Epoch, Step

_COURTESY = 8.0  # seconds, in which a process that says the same has ended
NOTHING, SAVE, STOP = range(3)


@contextmanager
def one_voice(config: TrainStage) -> Iterator[None]:
    """Let the first process speak where all have met the same mistake.

    Raises:
        UserError: there are more processes, or fewer, than configured.
    """
    from sharpvae import processes

    wanted = config.train.processes
    try:
        if processes.world() != wanted:
            raise UserError(
                f"variants.{config.variant}.train.devices",
                f"{wanted} processes (train.devices * train.nodes)",
                f"{processes.world()}, started by torchrun",
                "start as many, or set train.devices and train.nodes",
            )
        yield
    except UserError:
        if not processes.is_first():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the launcher ends this process
            time.sleep(_COURTESY)
        raise


def keep_up(trainer: Trainer) -> None:
    """Train along with the first process, which does the rest."""
    for event in trainer.run():
        wish = agreed(event, NOTHING)
        if wish != NOTHING:
            trainer.state_dict()  # to which every process has a part to add
        if wish == STOP:
            raise SystemExit(INTERRUPTED)


def agreed(event: Step | Epoch, wish: int) -> int:
    """What all processes do after this record: NOTHING, SAVE, or save and STOP.

    A single process does as it wishes. Of several the first decides, where all look up anyway.
    """
    from sharpvae.processes import first_says, world
    from sharpvae.training.records import Step

    if world() == 1:
        return wish
    if isinstance(event, Step) and event.numbers is None:
        return NOTHING
    return int(first_says(wish))
