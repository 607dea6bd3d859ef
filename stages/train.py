"""Train one VAE: one variant, one seed."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sharpvae.config.dotted import flatten, text
from sharpvae.config.stage_files import TrainStage, load_stage
from sharpvae.errors import UserError
from stages.console import run

if TYPE_CHECKING:
    import torch

    from sharpvae.datasets.batches import Feed
    from sharpvae.objective.schedules import Span
    from sharpvae.sampling.film import Film
    from sharpvae.training.adversary import Adversary
    from sharpvae.training.loop import Trainer
    from sharpvae.training.records import Epoch

PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")
HISTORY = ("epoch", "step", "split", "term", "value")


def main(variant: str, seed: str) -> None:
    """Train, film, and write the VAE with the history of its terms."""
    config = load_stage(Path("configs") / variant / "train.json", TrainStage)
    from sharpvae.artefacts import fresh_directory, write_json
    from sharpvae.datasets.batches import Feed
    from sharpvae.datasets.packed import load_split
    from sharpvae.devices import select
    from sharpvae.networks.storage import save_vae
    from sharpvae.sampling.film import Film

    device, number = select(config.device), int(seed)
    train = Feed(load_split(PREPARED, "train"), device)
    validation = Feed(load_split(PREPARED, "validation"), device)
    trainer = prepare(config, number, train, validation)
    announce(config, number, trainer.vae, train)
    models, films = Path("models") / variant / seed, Path("reports/film") / variant / seed
    with fresh_directory(films) as film, fresh_directory(models) as directory:
        history = follow(trainer, Film(film, config.train.film_every, validation, number))
        save_vae(directory, trainer.vae, config.model, train.channels, train.image_size)
        write_history(directory / "history.csv", history)
        write_json(directory / "summary.json", summary(config, trainer, history))


def prepare(config: TrainStage, seed: int, train: Feed, validation: Feed) -> Trainer:
    """Networks, objective and optimisers, as configured."""
    import torch

    from sharpvae.networks.vae import VAE
    from sharpvae.objective.objective import Objective
    from sharpvae.objective.schedules import Span
    from sharpvae.randomness import global_seed
    from sharpvae.training.loop import Trainer
    from sharpvae.training.loss_networks import (
        VARIANCE_IMAGES,
        lpips_distance,
        perceptual_distance,
    )

    span = Span(train.count // config.train.batch_size, config.train.epochs)
    check_start(config, span)
    with global_seed(seed, "weights"):
        vae = VAE(config.model, train.channels, train.image_size, classes(config))
    images = train.take(torch.arange(min(VARIANCE_IMAGES, train.count))).images
    objective = Objective(
        config.loss,
        train.pixels,
        config.model.latent_dim,
        span,
        perceptual_distance(config.loss, CRITIC, images),
        lpips_distance(config.loss, train.device),
    )
    return Trainer(
        vae.to(train.device),
        objective.to(train.device),
        config.train,
        train,
        validation,
        seed,
        f"variant {config.variant}, seed {seed} (configs/{config.variant}/train.json)",
        adversary(config, train, seed),
    )


def classes(config: TrainStage) -> int:
    """How many classes the labels tell apart; 0 without labels.

    Raises:
        UserError: fewer than two, for a conditional variant.
    """
    from sharpvae.datasets.packed import load_card

    names = load_card(PREPARED).class_names
    if config.model.conditional and len(names or ()) < 2:
        raise UserError(
            f"variants.{config.variant}.model.conditional",
            "images of at least two classes, for the network to be told which",
            "images without labels" if names is None else f"one class: {names[0]}",
            "set it to false, or choose other data (data.name, data.path, data.classes)",
        )
    return len(names or ())


def adversary(config: TrainStage, train: Feed, seed: int) -> Adversary | None:
    """The discriminator as configured, or None where its weight is 0."""
    if config.loss.weights.adversarial == 0:
        return None
    from sharpvae.networks.discriminator import configured
    from sharpvae.randomness import global_seed
    from sharpvae.training.adversary import Adversary

    section = config.loss.adversarial
    with global_seed(seed, "discriminator"):
        discriminator = configured(section, config.model, train.channels)
    return Adversary(discriminator.to(train.device), section, train.pixels)


def check_start(config: TrainStage, span: Span) -> None:
    """A weight above 0 that is still 0 at the last update is a mistake.

    Raises:
        UserError: naming the schedule. `configure` finds those that do not count in updates.
    """
    from sharpvae.objective.schedules import never_starts

    weights = config.loss.weights
    for term in ("perceptual", "adversarial"):
        schedule = getattr(config.loss.schedules, term)
        if getattr(weights, term) > 0 and never_starts(schedule, span):
            raise UserError(
                f"variants.{config.variant}.loss.schedules.{term}.start",
                f"before the last of the {span.steps} updates",
                f"{schedule.start:g} {schedule.unit}",
                f"start earlier, train longer, or set loss.weights.{term}: 0",
            )


def summary(config: TrainStage, trainer: Trainer, history: list[Epoch]) -> dict[str, Any]:
    """How training ended, and on which scale its KL was weighted."""
    from sharpvae.objective.beta_sigma import beta_sigma

    kept = trainer.best_epoch if config.train.early_stop_patience else history[-1].epoch
    error = history[kept - 1].validation["mse"]
    beta = history[kept - 1].beta if config.loss.kl_share > 0 else None
    return {
        "epochs": history[-1].epoch,
        "steps": history[-1].step,
        "best_epoch": trainer.best_epoch,
        "stopped_early": history[-1].stopped_early,
        "kept": "best" if config.train.early_stop_patience else "last",
        "parameters": sum(weight.numel() for weight in trainer.vae.parameters()),
        "beta_sigma": beta_sigma(
            config.loss, trainer.train.pixels, config.model.latent_dim, error, beta
        ),
    }


def announce(config: TrainStage, seed: int, vae: torch.nn.Module, train: Feed) -> None:
    """Print the effective configuration, beta_sigma in front."""
    from sharpvae.devices import describe
    from sharpvae.objective.beta_sigma import beta_sigma

    parameters = sum(weight.numel() for weight in vae.parameters())
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


def follow(trainer: Trainer, film: Film) -> list[Epoch]:
    """Run the training to its end, showing and filming it; the records of its epochs."""
    from sharpvae.devices import peak_memory
    from sharpvae.training.records import Step
    from stages.progress import bar

    epochs = trainer.config.epochs
    history: list[Epoch] = []
    started, images = time.monotonic(), 0
    film.shoot(trainer.vae)
    with bar("training", epochs * (trainer.train.count // trainer.config.batch_size)) as progress:
        for event in trainer.run():
            if isinstance(event, Step):
                images += event.images
                rate = images / (time.monotonic() - started)
                last = losses(history[-1]) if history else ""
                memory = peak_memory(trainer.device)
                progress.advance(
                    note=f"epoch {event.epoch}/{epochs}  {last}  {rate:.0f} images/s  {memory}"
                )
                continue
            history.append(event)
            if film.due(event.epoch, event.last):
                film.shoot(trainer.vae)
            elapsed = time.monotonic() - started
            left = elapsed / event.epoch * (epochs - event.epoch)
            progress.line(
                f"  epoch {event.epoch:>3}/{epochs}  {losses(event)}  {terms(event)}  "
                f"{images / elapsed:.0f} images/s  {left:.0f} s left  "
                f"{peak_memory(trainer.device)}"
            )
    if history[-1].stopped_early:
        print(f"  stopped early: best validation loss in epoch {trainer.best_epoch}", flush=True)
    return history


def losses(event: Epoch) -> str:
    """Training and validation loss, per image."""
    return f"loss {event.train['loss']:.4g} val {event.validation['loss']:.4g}"


def terms(event: Epoch) -> str:
    """Each term of the validation loss, unweighted, per image."""
    shown = (f"{name} {v:.4g}" for name, v in event.validation.items() if name != "loss")
    return f"({'  '.join(shown)})"


def write_history(path: Path, history: list[Epoch]) -> None:
    """One row for each epoch, split and term."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HISTORY)
        for record in history:
            writer.writerows((*row[:-1], f"{row[-1]:.8g}") for row in record.rows())


if __name__ == "__main__":
    run("stages.train", main, "variant", "seed")
