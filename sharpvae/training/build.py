"""A trainer as configured: networks, objective, discriminator, feeds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sharpvae.config.stage_files import TrainStage
from sharpvae.datasets.batches import Feed
from sharpvae.datasets.packed import load_card
from sharpvae.errors import UserError
from sharpvae.networks.discriminator import configured
from sharpvae.networks.vae import VAE
from sharpvae.objective.beta_sigma import beta_sigma
from sharpvae.objective.objective import Objective
from sharpvae.objective.schedules import Span, never_starts
from sharpvae.randomness import global_seed
from sharpvae.training.adversary import Adversary
from sharpvae.training.loop import Trainer
from sharpvae.training.loss_networks import VARIANCE_IMAGES, lpips_distance, perceptual_distance
from sharpvae.training.precision import resolved


def build(
    config: TrainStage,
    seed: int,
    train: Feed,
    validation: Feed,
    prepared: Path,
    critic: Path,
    fid: Callable[[VAE], float] | None = None,
) -> Trainer:
    """Networks, objective and optimisers, as configured.

    Args:
        train, validation: feeds to the device that computes.
        prepared: directory of the packed data.
        critic: directory of the critic.
        fid: as of `Trainer`.

    Raises:
        UserError: the configuration does not fit the data; weights are missing.
    """
    span = Span(train.count // config.train.batch_size, config.train.epochs)
    _check_start(config, span)
    with global_seed(seed, "weights"):
        vae = VAE(config.model, train.channels, train.image_size, classes(config, prepared))
    images = train.take(torch.arange(min(VARIANCE_IMAGES, train.count))).images
    objective = Objective(
        config.loss,
        train.pixels,
        config.model.latent_dim,
        span,
        perceptual_distance(config.loss, critic, images),
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
        config.logging.every,
        _adversary(config, train, seed),
        fid,
    )


def classes(config: TrainStage, prepared: Path) -> int:
    """How many classes the labels tell apart; 0 without labels.

    Raises:
        UserError: fewer than two, for a conditional variant.
    """
    names = load_card(prepared).class_names
    if config.model.conditional and len(names or ()) < 2:
        raise UserError(
            f"variants.{config.variant}.model.conditional",
            "images of at least two classes, for the network to be told which",
            "images without labels" if names is None else f"one class: {names[0]}",
            "set it to false, or choose other data (data.name, data.path, data.classes)",
        )
    return len(names or ())


def summary(config: TrainStage, trainer: Trainer) -> dict[str, Any]:
    """How training ended, and on which scale its KL was weighted."""
    history = trainer.history
    kept = trainer.best.epoch if config.train.keep == "best" else history[-1].epoch
    error = history[kept - 1].validation["mse"]
    beta = history[kept - 1].beta if config.loss.kl_share > 0 else None
    return {
        "epochs": history[-1].epoch,
        "steps": history[-1].step,
        "best_epoch": trainer.best.epoch,
        "best_by": config.train.best_by,
        "stopped_early": history[-1].stopped_early,
        "kept": config.train.keep,
        "precision": resolved(config.train.precision, trainer.train.device),
        "parameters": sum(weight.numel() for weight in trainer.vae.parameters()),
        "beta_sigma": beta_sigma(
            config.loss, trainer.train.pixels, config.model.latent_dim, error, beta
        ),
    }


def _adversary(config: TrainStage, train: Feed, seed: int) -> Adversary | None:
    """The discriminator as configured, or None where its weight is 0."""
    if config.loss.weights.adversarial == 0:
        return None
    section = config.loss.adversarial
    with global_seed(seed, "discriminator"):
        discriminator = configured(section, config.model, train.channels)
    return Adversary(discriminator.to(train.device), section, train.pixels)


def _check_start(config: TrainStage, span: Span) -> None:
    """A weight above 0 that is still 0 at the last update is a mistake.

    Raises:
        UserError: naming the schedule. `configure` finds those that do not count in updates.
    """
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
