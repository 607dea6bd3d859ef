"""The film and the curves of a training."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from sharpvae.core.errors import UserError
from sharpvae.core.files import force, write_text
from sharpvae.images.feed import Feed
from sharpvae.images.tiles import grid, pairs
from sharpvae.training.config import LoggingConfig
from sharpvae.training.loop import Epoch, Step
from sharpvae.vae.draw import asked_labels, encode_images, from_prior, to_packed
from sharpvae.vae.vae import VAE

if TYPE_CHECKING:
    from dvclive.live import Live


_COLUMNS = 8
_IMAGES = 32
DIMENSIONS = "kl_per_dimension.csv"


def update_curves(record: Step) -> dict[str, float]:
    """`updates/<name>` of one update; empty where it has no numbers."""
    return {f"updates/{name}": value for name, value in (record.numbers or {}).items()}


def epoch_curves(record: Epoch) -> dict[str, float]:
    """`<split>/<term>` of one epoch, to the eight digits of history.csv."""
    return {f"{split}/{term}": float(f"{value:.8g}") for _, _, split, term, value in record.rows()}


class Film:
    """Writes `reconstructions/<n>.png` and `samples/<n>.png`, n = 0 before the first update.

    Args:
        directory: gets the two folders; may have them, with the frames of an interrupted run.
        every: epochs between frames; 0 films the end alone.
        validation: its first images are reconstructed in every frame.
        seed: of the latents that every frame decodes.
        epochs: done before an interruption; None at a fresh start.
    """

    def __init__(
        self, directory: Path, every: int, validation: Feed, seed: int, epochs: int | None = None
    ) -> None:
        self.directory, self.every, self.seed = directory, every, seed
        count = min(_IMAGES, validation.count)
        count = count // _COLUMNS * _COLUMNS or count  # whole rows, where there is one
        self.columns = min(_COLUMNS, count)
        self.batch = validation.take(torch.arange(count))
        known = validation.labels
        self.asked = None if known is None else asked_labels(known, 4 * _COLUMNS, seed)
        past = range(1, (epochs or 0) + 1)
        self.frames = 0 if epochs is None else 1 + sum(self.due(n, last=False) for n in past)
        for name in ("reconstructions", "samples"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def due(self, epoch: int, last: bool) -> bool:
        """Whether a frame belongs after `epoch` (0 is before the first)."""
        return last or (self.every > 0 and epoch % self.every == 0)

    @torch.no_grad()
    def shoot(self, vae: VAE) -> tuple[Path, Path]:
        """Write the next frame: reconstructions, samples. The VAE is left in the mode it was in."""
        training = vae.training
        vae.eval()
        encoded = encode_images(vae, *self.batch)
        real = to_packed(self.batch.images)
        reconstructions = pairs(real, encoded.reconstructions, self.columns)
        drawn = from_prior(vae, 4 * _COLUMNS, 4 * _COLUMNS, self.seed, self.asked)
        samples = grid(drawn, _COLUMNS)
        name = f"{self.frames}.png"
        paths = self.directory / "reconstructions" / name, self.directory / "samples" / name
        for path, picture in zip(paths, (reconstructions, samples), strict=True):
            picture.save(path)
            force(path)  # as the checkpoint that counts it
        self.frames += 1
        vae.train(training)
        return paths


class Logger:
    """Does nothing with what it is told; a subclass writes at once what it overrides."""

    def step(self, record: Step) -> None:
        """One update; its `numbers` may be None."""

    def epoch(self, record: Epoch) -> None:
        """One epoch: terms, schedule, active units, FID where measured, KL per dimension."""

    def replay(self, history: Sequence[Epoch]) -> None:
        """The epochs before an interruption, in order, for what was lost with it."""

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        """Two PNG files, drawn after `epoch` epochs and `step` updates; 0 before the first."""

    def close(self, failed: bool) -> None:
        """Write what is left; nothing is told afterwards."""


class DvcLiveLogger(Logger):
    """Writes one point an epoch of every curve, and the KL of each dimension in the last one.

    DVC removes the directory, an output of the stage, before each run; `replay` writes again what
    was there before an interruption. Updates are not written: they are in no checkpoint.

    Args:
        directory: made; one that is there is replaced.

    Raises:
        UserError: DVCLive is not installed.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        live = _quiet_live()
        shutil.rmtree(directory, ignore_errors=True)  # DVCLIVE_RESUME would make DVCLive go on
        # Never ended: Live.end would add to git and report to DVC Studio.
        self.live = live(str(directory), report=None, save_dvc_exp=False, dvcyaml=None)

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


def _ranked(kl: list[float]) -> str:
    """CSV of nats, largest first, with the dimension's index."""
    order = sorted(range(len(kl)), key=lambda dimension: (-kl[dimension], dimension))
    rows = (f"{rank},{dimension},{kl[dimension]:.8g}" for rank, dimension in enumerate(order, 1))
    return "\n".join(("rank,dimension,nats", *rows)) + "\n"


def _quiet_live() -> type[Live]:
    """DVCLive without what it does to the repository and over the network when it is made."""
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
        def _init_dvc(self) -> None:
            """Not opened: in a git repository without DVC, it would be given one."""

        def _init_studio(self) -> None:
            """Not told, although a token may lie in the environment."""

    return QuietLive


@dataclass(frozen=True)
class LoggedRun:
    """Which training this is.

    Attributes:
        variant, seed: as in params.yaml.
        id: letters, digits and dashes; another for each training from the start, the same after an
            interruption.
        settings: dotted key of the configuration -> value.
        resumed: updates before the checkpoint from which this process resumes; 0 without one.
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
        tensorboard: of this run alone, such as logs/tensorboard/<variant>/<seed>/<id>.
        wandb: in which W&B makes its folder `wandb`, such as logs.
    """

    live: Path
    tensorboard: Path
    wandb: Path


class Loggers(Logger):
    """Tells each of several."""

    def __init__(self, each: Sequence[Logger]) -> None:
        self.each = each

    def step(self, record: Step) -> None:
        for logger in self.each:
            logger.step(record)

    def epoch(self, record: Epoch) -> None:
        for logger in self.each:
            logger.epoch(record)

    def replay(self, history: Sequence[Epoch]) -> None:
        for logger in self.each:
            logger.replay(history)

    def pictures(self, epoch: int, step: int, reconstructions: Path, samples: Path) -> None:
        for logger in self.each:
            logger.pictures(epoch, step, reconstructions, samples)


@contextmanager
def open_loggers(config: LoggingConfig, run: LoggedRun, places: Places) -> Iterator[Loggers]:
    """The loggers of the section `logging`, closed after the block, whatever ended it.

    A package is imported only where it is asked for. Of several processes, rank 0 alone logs.

    Raises:
        UserError: a package is missing, or W&B refused the login.
    """
    with ExitStack() as stack:
        each: list[Logger] = []
        for logger in _opened(config, run, places):
            stack.push(lambda error, *_, logger=logger: logger.close(failed=error is not None))
            each.append(logger)
        yield Loggers(each)


def _opened(config: LoggingConfig, run: LoggedRun, places: Places) -> Iterator[Logger]:
    if config.dvclive:
        yield DvcLiveLogger(places.live)
    if config.tensorboard:
        from sharpvae.training.services import TensorBoardLogger

        yield TensorBoardLogger(places.tensorboard, run.resumed)
    if config.wandb is not None:
        from sharpvae.training.services import WandbLogger

        name = f"{run.variant}-{run.seed}"
        yield WandbLogger(places.wandb, config.wandb, run.id, name, run.settings)
