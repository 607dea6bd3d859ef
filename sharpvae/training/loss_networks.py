"""The distances of an objective that need a network: as configured, with weights from disk."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sharpvae.artefacts import read_json
from sharpvae.config.loss_schema import LossConfig
from sharpvae.networks.critic import CriticFeatures
from sharpvae.networks.imagenet import ImageNetFeatures
from sharpvae.networks.lpips import LAYERS, channel_weights
from sharpvae.networks.storage import load_critic
from sharpvae.objective.perceptual import (
    NormalisedDistance,
    PerceptualDistance,
    feature_variances,
)
from sharpvae.pretrained import LPIPS_TRUNKS, find

_LPIPS_KEY = "loss.lpips.weights"
VARIANCE_IMAGES = 64  # images from which the scale of each layer of VGG is measured


def perceptual_distance(
    loss: LossConfig, critic: Path, images: Tensor
) -> PerceptualDistance | NormalisedDistance | None:
    """The perceptual term; None where its weight is 0.

    Args:
        critic: directory that the stage `critic` wrote.
        images: float32 (B, C, H, W) in [0, 1], real ones: `VARIANCE_IMAGES` are plenty. The
            distance is built on their device.

    Raises:
        UserError: weights are missing, damaged, or of another network.
    """
    if loss.weights.perceptual == 0:
        return None
    section = loss.perceptual
    network: CriticFeatures | ImageNetFeatures
    if section.network == "critic":
        network = CriticFeatures(load_critic(critic))
        variances = read_json(critic / "critic.json")["feature_variances"]
    else:
        weights = _perceptual_weights(loss)
        network = ImageNetFeatures(section.network, weights, section.layers, section.resize)
        variances = None
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
    kind = loss.lpips.network
    network = ImageNetFeatures(
        LPIPS_TRUNKS[kind], _lpips_weights(loss), LAYERS[kind], key=_LPIPS_KEY
    )
    return NormalisedDistance(network, channel_weights(kind)).to(device)


def weight_files(loss: LossConfig) -> list[Path]:
    """Files of pretrained weights that this objective computes with.

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
    section = loss.perceptual
    key, instead = "loss.perceptual.weights", "set loss.perceptual.network: critic"
    return find(section.network, section.weights, key, instead)


def _lpips_weights(loss: LossConfig) -> Path:
    trunk = LPIPS_TRUNKS[loss.lpips.network]
    return find(trunk, loss.lpips.weights, _LPIPS_KEY, "set loss.weights.lpips: 0")
