"""Train one VAE: one variant, one seed; from its last checkpoint where it was interrupted."""

from __future__ import annotations

import csv
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sharpvae.config.dotted import flatten, text
from sharpvae.config.stage_files import TrainStage, load_stage
from stages.checkpointing import (
    CRITIC,
    PREPARED,
    go_on,
    mishaps,
    open_checkpoints,
    register,
    root,
)
from stages.console import run
from stages.together import NOTHING, SAVE, STOP, agreed, keep_up, one_voice
from stages.watch import watching

if TYPE_CHECKING:
    import torch

    from sharpvae.datasets.batches import Feed
    from sharpvae.networks.vae import VAE
    from sharpvae.training.checkpoints import Checkpoints
    from sharpvae.training.loggers import Places
    from sharpvae.training.loggers import Run as LoggedRun
    from sharpvae.training.loop import Trainer
    from sharpvae.training.records import Epoch

HISTORY = ("epoch", "step", "split", "term", "value")
_TIMEOUT = 1800.0  # seconds that processes wait for each other: the first may be at its FID
FILM = "film"  # in the directory of the checkpoints, until training has come to its end


def main(variant: str, seed: str) -> None:
    """Train, film, and write the VAE with the history of its terms."""
    config = load_stage(Path("configs") / variant / "train.json", TrainStage)
    from sharpvae import processes
    from sharpvae.devices import keep_memory, select
    from sharpvae.training.launch import launch

    machines = config.train
    if machines.processes > 1 and not processes.launched():
        command = [sys.executable, "-m", "stages.train", variant, seed]
        launch(command, machines.devices, machines.nodes, config.device)
        return
    keep_memory()
    with processes.joined(select(config.device), _TIMEOUT) as device, one_voice(config):
        train(config, int(seed), device)


def train(config: TrainStage, seed: int, device: torch.device) -> None:
    """Train in this process, which may be one of several."""
    from sharpvae.datasets.batches import Feed
    from sharpvae.datasets.packed import load_split
    from sharpvae.processes import is_first
    from sharpvae.training.build import build

    images = Feed(load_split(PREPARED, "train"), device)
    validation = Feed(load_split(PREPARED, "validation"), device)
    fid = None
    if config.train.best_by == "fid":
        fid = scorer(config, validation, seed)
    trainer = build(config, seed, images, validation, PREPARED, CRITIC, fid)
    checkpoints, ticket = open_checkpoints(config, seed, device)
    with mishaps(config, trainer, checkpoints):
        if not is_first():
            go_on(trainer, checkpoints)
            keep_up(trainer)
            return
        announce(config, seed, trainer)
        with checkpoints.held():
            go_on(trainer, checkpoints)
            run_id = register(checkpoints, trainer, ticket).id
            follow(trainer, config, checkpoints, run_id)
            write(config, trainer, checkpoints.directory / FILM)
            checkpoints.remove()


def scorer(config: TrainStage, validation: Feed, seed: int) -> Callable[[VAE], float]:
    """Who measures the FID that chooses: of several processes the first, which tells the others."""
    from sharpvae.processes import is_first

    if not is_first():
        return lambda vae: 0.0
    from sharpvae.sampling.validation_fid import ValidationFID  # loads torch-fidelity

    return ValidationFID(CRITIC, validation, config.train.batch_size, seed)


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


def follow(trainer: Trainer, config: TrainStage, checkpoints: Checkpoints, run_id: str) -> None:
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
        open_loggers(config.logging, *log_places(config, trainer, run_id)) as loggers,
        watching(trainer, config, film, loggers) as watch,
    ):
        if trainer.update.step == 0:
            watch.begin()
        for event in trainer.run():
            if isinstance(event, Step):
                watch.step(event)
            else:
                watch.epoch(event)
            due = SAVE if trainer.finished or checkpoints.due() else NOTHING
            stop = interruption.asked and not trainer.finished
            wish = agreed(event, STOP if stop else due)
            if wish != NOTHING:
                checkpoints.save(trainer.update.step, trainer.state_dict())
            if wish == STOP:
                raise KeyboardInterrupt(f"in epoch {trainer.epoch}; dvc repro goes on from here")
    if trainer.history[-1].stopped_early:
        chosen = f"best validation {trainer.config.best_by} in epoch {trainer.best.epoch}"
        print(f"  stopped early: {chosen}", flush=True)


def log_places(config: TrainStage, trainer: Trainer, run_id: str) -> tuple[LoggedRun, Places]:
    """What the loggers call this training, and where they write."""
    from sharpvae.training.loggers import Places
    from sharpvae.training.loggers import Run as LoggedRun

    run, logs = run_place(config, trainer), root() / "logs"
    settings = flatten(config.model_dump(exclude={"logging"}))
    live = Path("reports/live") / run
    live.mkdir(parents=True, exist_ok=True)  # an output of the stage, with or without curves
    return (
        LoggedRun(config.variant, trainer.seed, run_id, settings, trainer.update.step),
        Places(live, logs / "tensorboard" / run / run_id, logs),
    )


def run_place(config: TrainStage, trainer: Trainer) -> Path:
    """<variant>/<seed>, below which everything of this run lies."""
    return Path(config.variant) / str(trainer.seed)


def write(config: TrainStage, trainer: Trainer, frames: Path) -> None:
    """Write the outputs: models/<variant>/<seed> and reports/film/<variant>/<seed>."""
    from sharpvae.artefacts import force, fresh_directory, write_json
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
        for path in (*film.rglob("*"), *directory.rglob("*")):
            force(path)  # before the checkpoints, their only other copy, are removed


def write_history(path: Path, history: list[Epoch]) -> None:
    """One row for each epoch, split and term."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HISTORY)
        for record in history:
            writer.writerows((*row[:-1], f"{row[-1]:.8g}") for row in record.rows())


if __name__ == "__main__":
    run("stages.train", main, "variant", "seed")
