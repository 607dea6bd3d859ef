"""The curves of a training in the files of DVCLive."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sharpvae.artefacts import write_text
from sharpvae.errors import UserError
from sharpvae.training.curves import epoch_curves
from sharpvae.training.records import Epoch, Step

if TYPE_CHECKING:
    from dvclive.live import Live

DIMENSIONS = "kl_per_dimension.csv"


class DvcLiveLogger:
    """Writes one point an epoch of every curve, and the KL of each dimension in the last one.

    The directory is an output of a DVC stage, which DVC removes before each run of the stage; so
    its bytes must follow from the history of epochs alone, and after an interruption `replay`
    writes what an uninterrupted training would have written.

    Args:
        directory: made; one that is there is replaced.

    Raises:
        UserError: DVCLive is not installed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        live = _quiet_live()
        # DVCLive itself would go on from what is there, if DVCLIVE_RESUME is in the environment.
        shutil.rmtree(directory, ignore_errors=True)
        self.live = live(str(directory), report=None, save_dvc_exp=False, dvcyaml=None)

    def step(self, record: Step) -> None:
        """Nothing: after an interruption nobody could tell these again."""

    def epoch(self, record: Epoch) -> None:
        """Append to plots/metrics/<split>/<term>.tsv; rewrite metrics.json and the dimensions."""
        self._append(record)
        self._conclude(record)

    def replay(self, history: Sequence[Epoch]) -> None:
        """The curves of `history` anew."""
        for record in history:
            self._append(record)
        if history:
            self._conclude(history[-1])

    def _append(self, record: Epoch) -> None:
        self.live.step = record.epoch
        for name, value in epoch_curves(record).items():
            self.live.log_metric(name, value)

    def _conclude(self, record: Epoch) -> None:
        # Not next_step: it reads all curves again, and signals to an editor through .dvc/tmp.
        self.live.make_summary()
        write_text(self.directory / DIMENSIONS, _ranked(record.kl_per_dimension))

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        """Nothing: they are an output of the stage already."""

    def close(self, failed: bool) -> None:
        """Nothing is open. Live.end would add to git and report to DVC Studio."""


def _ranked(kl: list[float]) -> str:
    """CSV of nats, largest first, with the dimension's index: how many the code makes use of."""
    order = sorted(range(len(kl)), key=lambda dimension: (-kl[dimension], dimension))
    rows = (f"{rank},{dimension},{kl[dimension]:.8g}" for rank, dimension in enumerate(order, 1))
    return "\n".join(("rank,dimension,nats", *rows)) + "\n"


def _quiet_live() -> type[Live]:
    """DVCLive that writes into its directory and does nothing else."""
    try:
        from dvclive.live import Live
    except ImportError:
        raise UserError(
            "logging.dvclive",
            "the package dvclive, which writes the curves",
            "it is not installed",
            "run: pip install -e . -- or set logging.dvclive: false",
        ) from None

    class QuietLive(Live):
        """Without what Live does to the repository and over the network when it is made."""

        def _init_dvc(self) -> None:
            """Not opened: in a git repository without DVC, it would be given one."""

        def _init_studio(self) -> None:
            """Not told, although a token may lie in the environment."""

    return QuietLive
