"""Train one VAE: one variant, one seed; from its last checkpoint where it was interrupted."""

from __future__ import annotations

import csv
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sharpvae.config.dotted import flatten, text
from sharpvae.config.stage_files import TrainStage, load_stage
from stages.console import run
from stages.watch import watching

if TYPE_CHECKING:
    import torch

    from sharpvae.training.checkpoints import Checkpoints
    from sharpvae.training.loggers import Places
    from sharpvae.training.loggers import Run as LoggedRun
    from sharpvae.training.loop import Trainer
    from sharpvae.training.records import Epoch

PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")
ROOT = Path(__file__).parents[1]
HISTORY = ("epoch", "step", "split", "term", "value")
FILM = "film"  # in the directory of the checkpoints, until training has come to its end


def main(variant: str, seed: str) -> None:
    """Train, film, and write the VAE with the history of its terms."""
    config = load_stage(Path("configs") / variant / "train.json", TrainStage)
    from sharpvae.datasets.batches import Feed
    from sharpvae.datasets.packed import load_split
    from sharpvae.devices import select
    from sharpvae.training.build import build

    device, number = select(config.device), int(seed)
    train = Feed(load_split(PREPARED, "train"), device)
    validation = Feed(load_split(PREPARED, "validation"), device)
    fid = None
    if config.train.best_by == "fid":
        from sharpvae.sampling.validation_fid import ValidationFID  # loads torch-fidelity

        fid = ValidationFID(CRITIC, validation, config.train.batch_size, number)
    trainer = build(config, number, train, validation, PREPARED, CRITIC, fid)
    announce(config, number, trainer)
    checkpoints = open_checkpoints(config, number, device)
    with checkpoints.held(), mishaps(config, trainer, checkpoints):
        go_on(trainer, checkpoints)
        follow(trainer, config, checkpoints)
        write(config, trainer, checkpoints.directory / FILM)
        checkpoints.remove()


def open_checkpoints(config: TrainStage, seed: int, device: torch.device) -> Checkpoints:
    """The checkpoints of this very training."""
    from sharpvae.training.checkpoints import Checkpoints
    from sharpvae.training.fingerprint import fingerprint, identity

    splits = [path for name in ("train", "validation") for path in PREPARED.glob(f"{name}*.npy")]
    read = sorted([PREPARED / "card.json", CRITIC, *splits])
    parts = identity(config, seed, device, read, Path(__file__), ROOT)
    return Checkpoints(
        root() / ".checkpoints" / fingerprint(parts),
        lambda line: print(f"  {line}", flush=True),
        config.train.checkpoint_every,
    )


def go_on(trainer: Trainer, checkpoints: Checkpoints) -> None:
    """Take up the newest checkpoint, where there is one."""
    state = checkpoints.newest()
    if state is None:
        return
    trainer.load_state_dict(state)
    checkpoints.say(
        f"going on from the checkpoint at update {trainer.update.step}: "
        f"{len(trainer.history)} epochs and {trainer.done} of {trainer.steps} updates are done"
    )


@contextmanager
def mishaps(config: TrainStage, trainer: Trainer, checkpoints: Checkpoints) -> Iterator[None]:
    """Give what may go wrong in training a message that helps, and evidence."""
    import torch

    from sharpvae.training.build import classes
    from sharpvae.training.guard import NotFinite
    from sharpvae.training.memory import is_out_of_memory, out_of_memory

    try:
        yield
    except NotFinite as error:
        path = checkpoints.directory / "not_finite.pt"
        torch.save(trainer.evidence(error), path)
        error.add(f"its batch, noise and weights are in {path} (docs/training.md)")
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        shape = trainer.train.channels, trainer.train.image_size
        raise out_of_memory(config, shape, classes(config, PREPARED), error) from error


def announce(config: TrainStage, seed: int, trainer: Trainer) -> None:
    """Print the effective configuration, beta_sigma in front."""
    from sharpvae.devices import describe
    from sharpvae.objective.beta_sigma import beta_sigma

    train = trainer.train
    parameters = sum(weight.numel() for weight in trainer.vae.parameters())
    shape = f"{train.image_size}x{train.image_size}x{train.channels}"
    scale = beta_sigma(config.loss, train.pixels, config.model.latent_dim)
    comes = config.loss.weights.gaussian > 0 or config.loss.kl_share > 0
    unknown = "comes with training" if comes else "undefined: no squared error"
    kl = unknown if scale is None else f"{scale:.4g}"
    print(f"training {config.variant}, seed {seed}, on {describe(train.device)}")
    print(f"  {train.count} images of {shape}, {parameters:,} parameters")
    print(f"  beta_sigma {kl} (weight of the KL against the squared error, both summed)")
    for section in ("model", "loss", "train"):
        settings = flatten(config.model_dump()[section])
        line = ", ".join(f"{key} {text(value)}" for key, value in settings.items())
        print(f"  {section}: {line}")
    print(end="", flush=True)


def follow(trainer: Trainer, config: TrainStage, checkpoints: Checkpoints) -> None:
    """Run the training to its end: watch and save it.

    Raises:
        KeyboardInterrupt: somebody asked for it; after a last checkpoint.
    """
    from sharpvae.sampling.film import Film
    from sharpvae.training.interruption import put_off
    from sharpvae.training.loggers import open_loggers
    from sharpvae.training.records import Step

    every, seed = config.train.film_every, trainer.seed
    epochs = None if trainer.update.step == 0 else len(trainer.history)
    film = Film(checkpoints.directory / FILM, every, trainer.validation, seed, epochs)
    with (
        put_off() as interruption,
        open_loggers(config.logging, *log_places(config, trainer, checkpoints)) as loggers,
        watching(trainer, config, film, loggers) as watch,
    ):
        if trainer.update.step == 0:
            watch.begin()
        for event in trainer.run():
            if isinstance(event, Step):
                watch.step(event)
            else:
                watch.epoch(event)
            if interruption.asked or trainer.finished or checkpoints.due():
                checkpoints.save(trainer.update.step, trainer.state_dict())
            if interruption.asked and not trainer.finished:
                raise KeyboardInterrupt(f"in epoch {trainer.epoch}; dvc repro goes on from here")
    if trainer.history[-1].stopped_early:
        chosen = f"best validation {trainer.config.best_by} in epoch {trainer.best.epoch}"
        print(f"  stopped early: {chosen}", flush=True)


def log_places(
    config: TrainStage, trainer: Trainer, checkpoints: Checkpoints
) -> tuple[LoggedRun, Places]:
    """What the loggers call this training, and where they write."""
    from sharpvae.training.loggers import Places
    from sharpvae.training.loggers import Run as LoggedRun

    run, logs = run_place(config, trainer), root() / "logs"
    settings = flatten(config.model_dump(exclude={"logging"}))
    live = Path("reports/live") / run
    live.mkdir(parents=True, exist_ok=True)  # an output of the stage, with or without curves
    fresh, word = trainer.update.step == 0, checkpoints.directory / "id"
    if fresh:
        word.write_text(secrets.token_hex(8), encoding="utf-8")
    return (
        LoggedRun(
            config.variant, trainer.seed, word.read_text("utf-8"), settings, trainer.update.step
        ),
        Places(live, logs / "tensorboard" / run, logs),
    )


def run_place(config: TrainStage, trainer: Trainer) -> Path:
    """<variant>/<seed>, below which everything of this run lies."""
    return Path(config.variant) / str(trainer.seed)


def root() -> Path:
    """Of the repository that DVC was called in; what lies there outlives `dvc exp run --temp`."""
    return Path(os.environ.get("DVC_ROOT", "."))


def write(config: TrainStage, trainer: Trainer, frames: Path) -> None:
    """Write the outputs: models/<variant>/<seed> and reports/film/<variant>/<seed>."""
    from sharpvae.artefacts import fresh_directory, write_json
    from sharpvae.networks.storage import save_vae
    from sharpvae.training.build import summary
    from sharpvae.weights import save_weights

    states = trainer.weights()
    other = "last" if config.train.keep == "best" else "best"
    run = run_place(config, trainer)
    films, models = Path("reports/film") / run, Path("models") / run
    with fresh_directory(films) as film, fresh_directory(models) as directory:
        shutil.copytree(frames, film, dirs_exist_ok=True)
        train = trainer.train
        trainer.vae.load_state_dict(states[config.train.keep])
        save_vae(directory, trainer.vae, config.model, train.channels, train.image_size)
        trainer.vae.load_state_dict(states[other])
        save_weights(directory / f"{other}.safetensors", trainer.vae)
        write_json(directory / "summary.json", summary(config, trainer))
        write_history(directory / "history.csv", trainer.history)


def write_history(path: Path, history: list[Epoch]) -> None:
    """One row for each epoch, split and term."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HISTORY)
        for record in history:
            writer.writerows((*row[:-1], f"{row[-1]:.8g}") for row in record.rows())


if __name__ == "__main__":
    run("stages.train", main, "variant", "seed")
