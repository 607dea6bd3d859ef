"""Networks on disk: weights, and beside them the shape they belong to."""

from __future__ import annotations

from pathlib import Path

import torch

from sharpvae.artefacts import read_json, write_json
from sharpvae.config.schema import ModelConfig
from sharpvae.networks.critic import Critic
from sharpvae.networks.vae import VAE
from sharpvae.weights import load_weights, save_weights


def save_vae(directory: Path, vae: VAE, config: ModelConfig, channels: int, size: int) -> None:
    """Write `weights.safetensors` and `network.json` into `directory`."""
    save_weights(directory / "weights.safetensors", vae)
    description = {
        "image_channels": channels,
        "image_size": size,
        "classes": vae.classes,
        "model": config.model_dump(),
    }
    write_json(directory / "network.json", description)


def load_vae(directory: Path, device: torch.device) -> VAE:
    """Read what `save_vae` wrote; the VAE comes in evaluation mode on `device`."""
    description = read_json(directory / "network.json")
    config = ModelConfig.model_validate(description["model"])
    shape = (description[key] for key in ("image_channels", "image_size", "classes"))
    vae = VAE(config, *shape)
    load_weights(directory / "weights.safetensors", vae)
    return vae.to(device).eval()


def load_critic(directory: Path) -> Critic:
    """The network that the stage `critic` wrote.

    Raises:
        UserError: it is missing, or damaged.
    """
    shape = read_json(directory / "critic.json")
    classifier = Critic(shape["image_channels"], shape["classes"], shape["widths"])
    load_weights(directory / "critic.safetensors", classifier)
    return classifier
