"""The curves, histograms and pictures of a training in TensorBoard's event files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from sharpvae.errors import UserError
from sharpvae.training.curves import epoch_curves, update_curves
from sharpvae.training.records import Epoch, Step

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_FLUSH_SECONDS = 10  # so late may an update be seen; an epoch is seen at once


class TensorBoardLogger:
    """Logs everything over the number of updates, which is what TensorBoard calls a step.

    Args:
        directory: of one run; made. A start from nothing replaces the events in it.
        resumed: updates that lay before the checkpoint; TensorBoard hides what an interrupted
            process logged of later ones, which are now done again.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, directory: Path, resumed: int) -> None:
        writer = _writer()
        if resumed == 0:
            for events in directory.glob("events.out.tfevents.*"):
                events.unlink()
        purge = resumed + 1 if resumed > 0 else None
        self.writer = writer(str(directory), purge_step=purge, flush_secs=_FLUSH_SECONDS)

    def step(self, record: Step) -> None:
        """Its numbers, as scalars."""
        self._scalars(update_curves(record), record.step)

    def epoch(self, record: Epoch) -> None:
        """Its numbers as scalars, the KL of the dimensions as a histogram."""
        self._scalars(epoch_curves(record), record.step)
        kl = np.array(record.kl_per_dimension)
        self.writer.add_histogram("latent/kl_per_dimension", kl, record.step)
        self.writer.flush()

    def replay(self, history: Sequence[Epoch]) -> None:
        """Nothing: the interrupted process has left its events."""

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


def _writer() -> type[SummaryWriter]:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise UserError(
            "logging.tensorboard",
            "the package tensorboard, which writes the events",
            "it is not installed",
            "run: pip install -e '.[tensorboard]' -- or set logging.tensorboard: false",
        ) from None
    return SummaryWriter
