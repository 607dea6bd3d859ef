"""The loggers of a training: DVCLive, TensorBoard, Weights & Biases."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from sharpvae.core.errors import UserError
from sharpvae.core.files import write_text
from sharpvae.training.config import LoggingConfig

if TYPE_CHECKING:
    from wandb import Run

    from sharpvae.training.loop import Epoch, Step  # which need torch

DIMENSIONS = "kl_per_dimension.csv"


def update_curves(record: Step) -> dict[str, float]:
    """`updates/<name>` of one update; empty where it has no numbers."""
    return {f"updates/{name}": value for name, value in (record.numbers or {}).items()}


def epoch_curves(record: Epoch) -> dict[str, float]:
    """`<split>/<term>` of one epoch, to the eight digits of history.csv."""
    return {f"{split}/{term}": float(f"{value:.8g}") for _, _, split, term, value in record.rows()}


@dataclass(frozen=True)
class LoggedRun:
    """Which training this is, and where its loggers write."""

    variant: str  # as in params.yaml
    seed: int
    id: str  # letters, digits, dashes; new for each training from the start, not for a resumed one
    live: Path  # DVCLive's directory, an output of the stage
    logs: Path  # of tensorboard/<variant>/<seed>/<id>, and of W&B's folder
    settings: dict[str, object] = field(default_factory=dict)  # dotted key -> value
    resumed: int = 0  # updates before the checkpoint from which this process resumes


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
                """Not opened, although a token may be in the environment."""

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


_FLUSH_SECONDS = 10  # so late may an update be seen; an epoch is seen at once


class TensorBoardLogger(Logger):
    """Logs everything over the number of updates.

    Args:
        directory: of one run; made. A fresh start replaces the events in it.
        resumed: updates before the checkpoint; TensorBoard hides what an interrupted process
            logged of later ones, which are now repeated.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, directory: Path, resumed: int) -> None:
        with required("tensorboard", "tensorboard, which writes the events", "'.[tensorboard]'"):
            from torch.utils.tensorboard import SummaryWriter
        if resumed == 0:
            for events in directory.glob("events.out.tfevents.*"):
                events.unlink()
        purge = resumed + 1 if resumed > 0 else None
        self.writer = SummaryWriter(str(directory), purge_step=purge, flush_secs=_FLUSH_SECONDS)

    def step(self, record: Step) -> None:
        self._scalars(update_curves(record), record.step)

    def epoch(self, record: Epoch) -> None:
        self._scalars(epoch_curves(record), record.step)
        kl = np.array(record.kl_per_dimension)
        self.writer.add_histogram("latent/kl_per_dimension", kl, record.step)
        self.writer.flush()

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        """Both pictures, under a slider over the updates."""
        for name, path in (("reconstructions", reconstructions), ("samples", samples)):
            with Image.open(path) as image:
                pixels = np.asarray(image.convert("RGB"))
            self.writer.add_image(f"pictures/{name}", pixels, step, dataformats="HWC")
        self.writer.flush()

    def close(self, failed: bool) -> None:
        self.writer.close()

    def _scalars(self, curves: dict[str, float], step: int) -> None:
        for name, value in curves.items():
            self.writer.add_scalar(name, value, step)


PROJECT = "sharpvae"
_AXES = {
    "update": ["updates/*"],
    "epoch": ["train/*", "validation/*", "schedule/*", "latent/*"],
    "film": ["pictures/*"],
}
# What W&B would show and collect besides what it is given: output, code, git, machine, packages.
_QUIET: dict[str, Any] = {
    "silent": True,
    "console": "off",
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "symlink": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
}


class WandbLogger(Logger):
    """Logs updates over their number and epochs over theirs, in the project `sharpvae`.

    Over W&B's own counter it would refuse what an interrupted training repeats.

    Args:
        mode: `offline` writes to `run.logs` alone, for `wandb sync` later.

    Raises:
        UserError: W&B is not installed; or `online`, without a login or a server.
    """

    def __init__(self, run: LoggedRun, mode: Literal["offline", "online"]) -> None:
        # It would report its own errors to its makers, offline too; read at its first import.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        with required("wandb", "wandb", "'.[wandb]'", off="null"):
            import wandb
        self.wandb = wandb
        run.logs.mkdir(parents=True, exist_ok=True)  # or W&B takes a temporary folder
        quiet = wandb.Settings(mode=mode, **_QUIET)
        try:
            if mode == "online":
                wandb.setup(settings=quiet)
                # Without asking: nobody may be at the terminal of a training.
                if not wandb.login(prompt=False):
                    raise _refused("no key was found")
            self.run: Run = wandb.init(
                project=PROJECT,
                name=f"{run.variant}-{run.seed}",
                id=run.id,
                resume="allow" if mode == "online" else None,  # offline, there is none to ask
                mode=mode,
                dir=str(run.logs),
                config=run.settings,
                settings=quiet,
            )
        except wandb.errors.Error as error:
            raise _refused(str(error)) from error
        # What an interrupted run has already sent: it comes again after the checkpoint.
        summary = self.run.summary
        self.sent = {axis: int(summary.get(axis, -1)) for axis in ("update", "epoch", "film")}
        for axis, names in _AXES.items():
            self.run.define_metric(axis, hidden=True)
            for pattern in names:
                self.run.define_metric(pattern, step_metric=axis)

    def step(self, record: Step) -> None:
        if record.numbers is not None:
            self._log("update", record.step, update_curves(record))

    def epoch(self, record: Epoch) -> None:
        histogram = self.wandb.Histogram(record.kl_per_dimension)
        curves = {**epoch_curves(record), "latent/kl_per_dimension": histogram}
        self._log("epoch", record.epoch, curves)

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        paths = {"pictures/reconstructions": reconstructions, "pictures/samples": samples}
        images = {name: self.wandb.Image(str(path)) for name, path in paths.items()}
        self._log("film", epoch, images)

    def close(self, failed: bool) -> None:
        """Wait until everything is written, and sent where W&B is online."""
        self.run.finish(exit_code=int(failed))

    def _log(self, axis: str, position: int, values: Mapping[str, Any]) -> None:
        if position > self.sent[axis]:
            self.run.log({axis: position, **values})


def _refused(found: str) -> UserError:
    return UserError(
        "logging.wandb",
        "a login at Weights & Biases, as logging.wandb: online needs it",
        found,
        "run: wandb login -- or set logging.wandb: offline, and run wandb sync afterwards",
    )


@contextmanager
def open_loggers(config: LoggingConfig, run: LoggedRun) -> Iterator[list[Logger]]:
    """The loggers of the section `logging`, closed after the block, whatever ended it.

    A package is imported only where it is asked for. Of several processes, rank 0 alone logs.

    Raises:
        UserError: a package is missing, or W&B refused the login.
    """
    with ExitStack() as stack:
        loggers: list[Logger] = []

        def add(logger: Logger) -> None:
            stack.push(lambda error, *_: logger.close(failed=error is not None))
            loggers.append(logger)

        if config.dvclive:
            add(DvcLiveLogger(run.live))
        if config.tensorboard:
            directory = run.logs / "tensorboard" / run.variant / str(run.seed) / run.id
            add(TensorBoardLogger(directory, run.resumed))
        if config.wandb is not None:
            add(WandbLogger(run, config.wandb))
        yield loggers
