"""The loggers of a training: DVCLive here, TensorBoard and Weights & Biases in `services`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sharpvae.core.errors import UserError
from sharpvae.core.files import write_text
from sharpvae.training.config import LoggingConfig

if TYPE_CHECKING:  # both need torch
    from sharpvae.training.loop import Epoch, Step

DIMENSIONS = "kl_per_dimension.csv"


def update_curves(record: Step) -> dict[str, float]:
    """`updates/<name>` of one update; empty where it has no numbers."""
    return {f"updates/{name}": value for name, value in (record.numbers or {}).items()}


def epoch_curves(record: Epoch) -> dict[str, float]:
    """`<split>/<term>` of one epoch, to the eight digits of history.csv."""
    return {f"{split}/{term}": float(f"{value:.8g}") for _, _, split, term, value in record.rows()}


class Logger:
    """Ignores everything; a subclass writes at once what it overrides."""

    def step(self, record: Step) -> None:
        """One update; its `numbers` may be None."""

    def epoch(self, record: Epoch) -> None:
        """One epoch: terms, schedule, active units, FID where measured, KL per dimension."""

    def replay(self, history: Sequence[Epoch]) -> None:
        """The epochs before an interruption, in order, for what was lost with it."""

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        """Two PNG files, drawn after `epoch` epochs and `step` updates; 0 before the first."""

    def close(self, failed: bool) -> None:
        """Write what is left; nothing follows."""


@contextmanager
def required(key: str, package: str, install: str, off: str = "false") -> Iterator[None]:
    """Import a package within the block.

    Raises:
        UserError: it is not installed.
    """
    try:
        yield
    except ImportError:
        raise UserError(
            f"logging.{key}",
            f"the package {package}",
            "it is not installed",
            f"run: pip install -e {install} -- or set logging.{key}: {off}",
        ) from None


class DvcLiveLogger(Logger):
    """Writes one point an epoch of every curve, and the KL of each dimension in the last one.

    DVC removes the directory, an output of the stage, before each run; `replay` writes again what
    was there before an interruption. Updates are not written: they are in no checkpoint.

    Args:
        directory: made; an existing one is replaced.

    Raises:
        UserError: DVCLive is not installed.
    """

    def __init__(self, directory: Path) -> None:
        with required("dvclive", "dvclive, which writes the curves", "."):
            from dvclive.live import Live

        class QuietLive(Live):
            def _init_dvc(self) -> None:
                """Not opened: in a git repository without DVC, it would be given one."""

            def _init_studio(self) -> None:
                """Not told, although a token may be in the environment."""

        self.directory = directory
        shutil.rmtree(directory, ignore_errors=True)  # DVCLIVE_RESUME would make DVCLive resume
        # Never ended: Live.end would add to git and report to DVC Studio.
        self.live = QuietLive(str(directory), report=None, save_dvc_exp=False, dvcyaml=None)

    def epoch(self, record: Epoch) -> None:
        """Append to plots/metrics/<split>/<term>.tsv; rewrite metrics.json and the dimensions."""
        self.replay([record])

    def replay(self, history: Sequence[Epoch]) -> None:
        """As `epoch`, for each of `history`."""
        for record in history:
            self.live.step = record.epoch
            for name, value in epoch_curves(record).items():
                self.live.log_metric(name, value)
        if history:
            # Not next_step: it reads all curves again, and signals to an editor through .dvc/tmp.
            self.live.make_summary()
            write_text(self.directory / DIMENSIONS, _ranked(history[-1].kl_per_dimension))


def _ranked(kl: list[float]) -> str:
    """CSV of nats, largest first, with the dimension's index."""
    order = sorted(range(len(kl)), key=lambda dimension: -kl[dimension])
    rows = (f"{rank},{dimension},{kl[dimension]:.8g}" for rank, dimension in enumerate(order, 1))
    return "\n".join(("rank,dimension,nats", *rows)) + "\n"


@dataclass(frozen=True)
class LoggedRun:
    """Which training this is, and where its loggers write.

    Attributes:
        variant, seed: as in params.yaml.
        id: letters, digits and dashes; another for each training from the start, the same after an
            interruption.
        live: DVCLive's directory, an output of the stage.
        logs: TensorBoard writes to tensorboard/<variant>/<seed>/<id> in it, W&B to `wandb`.
        settings: dotted key of the configuration -> value.
        resumed: updates before the checkpoint from which this process resumes; 0 without one.
    """

    variant: str
    seed: int
    id: str
    live: Path
    logs: Path
    settings: dict[str, object] = field(default_factory=dict)
    resumed: int = 0


@contextmanager
def open_loggers(config: LoggingConfig, run: LoggedRun) -> Iterator[list[Logger]]:
    """The loggers of the section `logging`, closed after the block, whatever ended it.

    A package is imported only where it is asked for. Of several processes, rank 0 alone logs.

    Raises:
        UserError: a package is missing, or W&B refused the login.
    """
    with ExitStack() as stack:
        loggers: list[Logger] = []
        for logger in _opened(config, run):
            stack.push(lambda error, *_, logger=logger: logger.close(failed=error is not None))
            loggers.append(logger)
        yield loggers


def _opened(config: LoggingConfig, run: LoggedRun) -> Iterator[Logger]:
    if config.dvclive:
        yield DvcLiveLogger(run.live)
    if config.tensorboard:
        from sharpvae.training.services import TensorBoardLogger

        directory = run.logs / "tensorboard" / run.variant / str(run.seed) / run.id
        yield TensorBoardLogger(directory, run.resumed)
    if config.wandb is not None:
        from sharpvae.training.services import WandbLogger

        name = f"{run.variant}-{run.seed}"
        yield WandbLogger(run.logs, config.wandb, run.id, name, run.settings)
