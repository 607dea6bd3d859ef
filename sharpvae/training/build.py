"""Networks, objective and trainer, as configured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sharpvae.core.artefacts import load_artefact
from sharpvae.core.devices import resolved
from sharpvae.core.errors import UserError
from sharpvae.core.seeds import global_seed
from sharpvae.core.weights import load_weights
from sharpvae.distributed.processes import is_first
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_card, load_split
from sharpvae.objective.adversary import Adversary
from sharpvae.objective.config import LossConfig
from sharpvae.objective.discriminator import configured
from sharpvae.objective.objective import Objective, beta_sigma, squared_share
from sharpvae.objective.schedules import Span, late_start
from sharpvae.perception.critic import CriticFeatures, CriticShape, load_critic
from sharpvae.perception.distances import (
    LAYERS,
    ImageNetFeatures,
    NormalisedDistance,
    PerceptualDistance,
    channel_weights,
    feature_variances,
)
from sharpvae.perception.efficientnet import LiteFeatures
from sharpvae.perception.pretrained import LPIPS_TRUNKS, PUBLISHED, efficientnet_file, find
from sharpvae.training.config import TrainStage
from sharpvae.training.loop import Trainer
from sharpvae.training.outlook import outlook
from sharpvae.training.validate import ValidationFID
from sharpvae.vae.contract import check
from sharpvae.vae.own import require_code
from sharpvae.vae.vae import VAE

PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")
_LPIPS_KEY = "loss.lpips.weights"
VARIANCE_IMAGES = 64  # images from which the scale of each layer is measured


def perceptual_distance(
    loss: LossConfig, critic: Path, images: Tensor
) -> PerceptualDistance | NormalisedDistance | None:
    """The perceptual term; None where its weight is 0.

    Args:
        critic: directory that the stage `critic` wrote.
        images: real ones, float32 (B, C, H, W) in [0, 1], on the device of the distance; B of
            `VARIANCE_IMAGES` is plenty.

    Raises:
        UserError: weights are missing, damaged, or of another network.
    """
    if loss.weights.perceptual == 0:
        return None
    section, variances = loss.perceptual, None
    network: CriticFeatures | ImageNetFeatures | LiteFeatures
    if section.network == "critic":
        network = CriticFeatures(load_critic(critic))
        variances = load_artefact(critic / "critic.json", CriticShape).feature_variances
    elif section.network in PUBLISHED:
        network = LiteFeatures(section.network, section.layers, section.resize)
    else:
        weights = _perceptual_weights(loss)
        network = ImageNetFeatures(section.network, weights, section.layers, section.resize)
    if section.distance == "normalised":
        return NormalisedDistance(network).to(images.device)
    if variances is None:
        variances = feature_variances(network.to(images.device), images)
    return PerceptualDistance(network, variances).to(images.device)


def lpips_distance(loss: LossConfig, device: torch.device) -> NormalisedDistance | None:
    """LPIPS times D = height * width * channels; None where its weight is 0.

    Raises:
        UserError: weights are missing, damaged, or of another network.
    """
    if loss.weights.lpips == 0:
        return None
    kind, weights = loss.lpips.network, _lpips_weights(loss)
    network = ImageNetFeatures(LPIPS_TRUNKS[kind], weights, LAYERS[kind], key=_LPIPS_KEY)
    return NormalisedDistance(network, channel_weights(kind)).to(device)


def weight_files(loss: LossConfig) -> list[Path]:
    """Files of pretrained weights that this objective needs.

    Raises:
        UserError: one is missing.
    """
    files = []
    if loss.weights.perceptual > 0 and loss.perceptual.network != "critic":
        files.append(_perceptual_weights(loss))
    if loss.weights.lpips > 0:
        files.append(_lpips_weights(loss))
    return files


def _perceptual_weights(loss: LossConfig) -> Path:
    if loss.perceptual.network in PUBLISHED:
        return efficientnet_file(loss.perceptual.network, "loss.perceptual.network")
    key, instead = "loss.perceptual.weights", "set loss.perceptual.network: critic"
    return find(loss.perceptual.network, loss.perceptual.weights, key, instead)


def _lpips_weights(loss: LossConfig) -> Path:
    trunk = LPIPS_TRUNKS[loss.lpips.network]
    return find(trunk, loss.lpips.weights, _LPIPS_KEY, "set loss.weights.lpips: 0")


def build(
    config: TrainStage,
    seed: int,
    device: torch.device,
    start: Path | None = None,
    prepared: Path = PREPARED,
    critic: Path = CRITIC,
) -> Trainer:
    """Feeds, networks, objective and optimisers, as configured.

    Args:
        start: file of the weights before the first update, which are drawn without.
        prepared: folder that `datasets.pack.prepare` wrote.
        critic: folder that the stage `critic` wrote; read only by a perceptual loss of the network
            `critic`, and by `train.best_by: fid`.

    Raises:
        UserError: the configuration does not fit the data; weights are missing; a network of the
            user's own breaks its contract, or is not the one that was configured.
    """
    train = Feed(load_split(prepared, "train"), device)
    validation = Feed(load_split(prepared, "validation"), device)
    fid: Callable[[VAE], float] | None = None
    if config.train.best_by == "fid":  # rank 0 measures it, and broadcasts it
        options = validation, config.train.batch_size, seed
        fid = ValidationFID(critic, *options) if is_first() else lambda vae: 0.0
    span = config.train.span(train.count)
    _require_starts(config, span)
    classes = _classes(config, prepared)
    _require_own_network(config, train, classes, device)
    adversary, section = None, config.loss.adversarial
    if config.loss.weights.adversarial > 0:
        with global_seed(seed, "discriminator"):
            discriminator = configured(section, config.model, train.channels, train.image_size)
        adversary = Adversary(discriminator.to(device), section, train.pixels)
    with global_seed(seed, "weights"):
        vae = VAE(config.model, train.channels, train.image_size, classes).to(device)
    if start is not None:
        load_weights(start, vae)
    images = train.take(torch.arange(min(VARIANCE_IMAGES, train.count))).images
    perceptual = perceptual_distance(config.loss, critic, images)
    distances = perceptual, lpips_distance(config.loss, device)
    objective = Objective(config.loss, train.pixels, config.model.latent_dim, span, *distances)
    objective = objective.to(device)
    name = f"variant {config.variant}, seed {seed} (configs/{config.variant}/train.json)"
    feeds, every = (train, validation), config.logging.every
    return Trainer(vae, objective, config.train, *feeds, seed, name, every, adversary, fid)


def _require_starts(config: TrainStage, span: Span) -> None:
    """Raise where a term would wait for its schedule to the end."""
    for term in ("perceptual", "adversarial"):
        schedule = getattr(config.loss.schedules, term)
        weight = getattr(config.loss.weights, term)
        late = late_start(schedule, weight, span.epochs, span.epoch_steps)
        if late is not None:
            raise UserError(
                f"variants.{config.variant}.loss.schedules.{term}.start",
                late,
                f"{schedule.start:g} {schedule.unit}",
                f"start earlier, train longer, or set loss.weights.{term}: 0",
            )


def _require_own_network(
    config: TrainStage, feed: Feed, classes: int, device: torch.device
) -> None:
    """Raise unless a network of the user's own is the one that was configured, and works."""
    if config.model.own:
        place = f"configs/{config.variant}/train.json"
        fix = "run: dvc repro --force configure, and then dvc repro"
        require_code(config.model.family, config.code, place, fix)
        check(config.model, feed.channels, feed.image_size, classes, device)


def _classes(config: TrainStage, prepared: Path) -> int:
    """How many classes the labels have, 0 without; two or more for a conditional variant."""
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
    """How training ended, and on which scale its KL was weighted.

    `still_falling` and `updates_wanted`, so many more, are those of `outlook`.
    """
    history = trainer.history
    kept = trainer.best.epoch if config.train.keep == "best" else history[-1].epoch
    error = history[kept - 1].validation["mse"]
    beta = history[kept - 1].beta if config.loss.kl_share > 0 else None
    scale = beta_sigma(config.loss, trainer.train.pixels, config.model.latent_dim, error, beta)
    # Validation leaves the discriminator out; of an epoch before it began no features are matched.
    matching = history[kept - 1].train.get("matching", 0.0)
    share = squared_share(config.loss, history[kept - 1].validation | {"matching": matching})
    found = outlook([record.validation["loss"] for record in history])
    # What stopped early has shown that it gets no better.
    falling = found.falling and not history[-1].stopped_early
    wanted = found.wanted if falling else None
    return {
        "epochs": history[-1].epoch,
        "steps": history[-1].step,
        "still_falling": falling,
        "updates_wanted": None if wanted is None else wanted * trainer.span.epoch_steps,
        "best_epoch": trainer.best.epoch,
        "best_by": config.train.best_by,
        "stopped_early": history[-1].stopped_early,
        "kept": config.train.keep,
        "precision": resolved(config.train.precision, trainer.train.device),
        "parameters": sum(weight.numel() for weight in trainer.vae.parameters()),
        "multiply_adds": multiply_adds(trainer.vae, trainer.train),
        "beta_sigma": scale,
        "beta_whole": None if scale is None or share is None else scale * share,
    }


@torch.no_grad()
def multiply_adds(vae: VAE, feed: Feed) -> int:
    """Of encoding and decoding one image; norms, activations and resizing count as 0."""
    batch = feed.take(torch.zeros(1, dtype=torch.int64))
    training = vae.training
    vae.eval()  # a batch norm has no statistics of one image
    with FlopCounterMode(display=False) as counted:
        vae.decoder(vae.encoder(batch.images, batch.labels).mean, batch.labels)
    vae.train(training)
    return int(counted.get_total_flops()) // 2
