"""TensorBoard and Weights & Biases."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from sharpvae.core.errors import UserError
from sharpvae.training.loggers import Logger, epoch_curves, required, update_curves

if TYPE_CHECKING:
    from wandb import Run

    from sharpvae.training.loop import Epoch, Step

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
        """Its numbers, as scalars."""
        self._scalars(update_curves(record), record.step)

    def epoch(self, record: Epoch) -> None:
        """Its numbers as scalars, the KL of the dimensions as a histogram."""
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
        """Flush and close the event file."""
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

    Over W&B's own counter it would refuse what an interrupted training does again.

    Args:
        directory: in which W&B makes its folder `wandb`.
        mode: `offline` writes there alone, for `wandb sync` later.
        id: under which an interrupted run continues.
        name: shown for the run.
        settings: of the configuration, shown with the run.

    Raises:
        UserError: W&B is not installed; or `online`, without a login or a server.
    """

    def __init__(
        self,
        directory: Path,
        mode: Literal["offline", "online"],
        id: str,  # noqa: A002
        name: str,
        settings: Mapping[str, object],
    ) -> None:
        # It would tell its makers of its own errors, offline too; read when it is first imported.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        with required("wandb", "wandb", "'.[wandb]'", off="null"):
            import wandb
        self.wandb = wandb
        directory.mkdir(parents=True, exist_ok=True)  # or W&B takes a temporary one
        quiet = wandb.Settings(mode=mode, **_QUIET)
        try:
            if mode == "online":
                wandb.setup(settings=quiet)
                # Without asking: nobody may be at the terminal of a training.
                if not wandb.login(prompt=False):
                    raise _refused("no key was found")
            self.run: Run = wandb.init(
                project=PROJECT,
                name=name,
                id=id,
                resume="allow" if mode == "online" else None,  # offline, there is none to ask
                mode=mode,
                dir=str(directory),
                config=dict(settings),
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
        """Its numbers, where there are any."""
        if record.numbers is not None:
            self._log("update", record.step, update_curves(record))

    def epoch(self, record: Epoch) -> None:
        """Its numbers, and the KL of the dimensions as a histogram."""
        histogram = self.wandb.Histogram(record.kl_per_dimension)
        curves = {**epoch_curves(record), "latent/kl_per_dimension": histogram}
        self._log("epoch", record.epoch, curves)

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        """Both pictures."""
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
