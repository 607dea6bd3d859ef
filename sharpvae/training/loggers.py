"""Who is told how training goes: curves, film."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

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


def update_curves(record: Step) -> dict[str, float]:
    """`updates/<name>` of one update; empty where nobody looked at its numbers."""
    return {f"updates/{name}": value for name, value in (record.numbers or {}).items()}


def epoch_curves(record: Epoch) -> dict[str, float]:
    """`<split>/<term>` of one epoch: train, validation, schedule, latent.

    Values have the eight digits of history.csv, so that curves drawn again from there are the same.
    """
    return {f"{split}/{term}": float(f"{value:.8g}") for _, _, split, term, value in record.rows()}


_COLUMNS = 8
_IMAGES = 32


class Film:
    """Writes `reconstructions/<n>.png` and `samples/<n>.png`, n = 0 before the first update.

    Args:
        directory: gets the two folders; may have them, with the frames of an interrupted run.
        every: epochs between frames; 0 films the end alone.
        validation: its first images are reconstructed in every frame.
        seed: of the latents that every frame decodes.
        epochs: done before an interruption, whose frames are there; None at a fresh start.
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
class LoggedRun:
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
def open_loggers(config: LoggingConfig, run: LoggedRun, places: Places) -> Iterator[Loggers]:
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
