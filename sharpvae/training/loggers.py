"""Who is told how a training goes: DVCLive, TensorBoard, Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from sharpvae.config.schema import LoggingConfig
from sharpvae.training.records import Epoch, Step


class Logger(Protocol):
    """One who is told. Only the first of several processes that train together may open any.

    Every call leaves what it was told where a reader sees it within seconds.
    """

    def step(self, record: Step) -> None:
        """One update; nothing where it has no `numbers`."""

    def epoch(self, record: Epoch) -> None:
        """One epoch: terms, schedule, active units, FID where measured, KL per dimension."""

    def replay(self, history: Sequence[Epoch]) -> None:
        """The epochs before an interruption, in order, to one who has lost them with it."""

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        """Two PNG files, painted after `epoch` epochs and `step` updates; 0 before the first."""

    def close(self, failed: bool) -> None:
        """Write what is left; nothing is told afterwards."""


@dataclass(frozen=True)
class Run:
    """Which training this is.

    Attributes:
        variant, seed: as in params.yaml.
        id: letters, digits and dashes; another for each training from the start, the same after an
            interruption, by which W&B knows the run again.
        settings: dotted key of the configuration -> value.
        resumed: updates that lay before the checkpoint from which this process goes on; 0 at a
            start from nothing.
    """

    variant: str
    seed: int
    id: str
    settings: dict[str, object] = field(default_factory=dict)
    resumed: int = 0


@dataclass(frozen=True)
class Places:
    """Where each logger writes.

    Attributes:
        live: DVCLive's directory, such as reports/live/<variant>/<seed>; an output of the stage.
        tensorboard: of this variant and seed alone, such as logs/tensorboard/<variant>/<seed>.
        wandb: in which W&B makes its folder `wandb`, such as logs.
    """

    live: Path
    tensorboard: Path
    wandb: Path


class Loggers:
    """Tells each of several."""

    def __init__(self, each: Sequence[Logger]) -> None:
        self.each = each

    def step(self, record: Step) -> None:
        """As Logger."""
        for logger in self.each:
            logger.step(record)

    def epoch(self, record: Epoch) -> None:
        """As Logger."""
        for logger in self.each:
            logger.epoch(record)

    def replay(self, history: Sequence[Epoch]) -> None:
        """As Logger."""
        for logger in self.each:
            logger.replay(history)

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        """As Logger."""
        for logger in self.each:
            logger.pictures(epoch, step, reconstructions, samples)


@contextmanager
def open_loggers(config: LoggingConfig, run: Run, places: Places) -> Iterator[Loggers]:
    """The loggers of the section `logging`, closed after the block, whatever ended it.

    A package is imported only where it is asked for.

    Raises:
        UserError: a package is missing, or W&B let nobody in.
    """
    with ExitStack() as stack:
        each: list[Logger] = []
        for logger in _opened(config, run, places):
            stack.push(partial(_close, logger))
            each.append(logger)
        yield Loggers(each)


def _close(logger: Logger, error: type[BaseException] | None, *_: object) -> None:
    """As an `__exit__` of the logger."""
    logger.close(failed=error is not None)


def _opened(config: LoggingConfig, run: Run, places: Places) -> Iterator[Logger]:
    if config.dvclive:
        from sharpvae.training.dvclive_logger import DvcLiveLogger

        yield DvcLiveLogger(places.live)
    if config.tensorboard:
        from sharpvae.training.tensorboard_logger import TensorBoardLogger

        yield TensorBoardLogger(places.tensorboard, run.resumed)
    if config.wandb is not None:
        from sharpvae.training.wandb_logger import WandbLogger

        name = f"{run.variant}-{run.seed}"
        yield WandbLogger(places.wandb, config.wandb, run.id, name, run.settings)
