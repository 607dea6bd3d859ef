"""Images that a trained VAE makes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.datasets.batches import Feed, to_uint8
from sharpvae.networks.vae import VAE
from sharpvae.randomness import generator


class Encoded(NamedTuple):
    """Images as the VAE sees them."""

    reconstructions: NDArray[np.uint8]  # (N, H, W, C), decoded from the posterior mean
    mean: NDArray[np.float32]  # (N, Z)
    log_var: NDArray[np.float32]  # (N, Z)


@torch.no_grad()
def from_prior(vae: VAE, count: int, batch_size: int, seed: int) -> NDArray[np.uint8]:
    """Decode `count` draws from the prior N(0, I).

    One generator makes the noise of image after image, so more images begin with the same ones.
    Returns uint8 (count, H, W, C).
    """
    device = next(vae.parameters()).device
    # Drawn on the CPU: the numbers, and their split into batches, are then the same on any device.
    noise = torch.randn(count, vae.latent_dim, generator=generator(seed, "prior"))
    parts = [to_packed(vae.decoder(z.to(device))) for z in noise.split(batch_size)]
    return np.concatenate(parts)


def encode(vae: VAE, feed: Feed, batch_size: int) -> Encoded:
    """Every image of `feed`, which leads to the device of the VAE, in its order."""
    parts = [encode_images(vae, batch.images) for batch in feed.in_order(batch_size)]
    return Encoded(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@torch.no_grad()
def encode_images(vae: VAE, images: Tensor) -> Encoded:
    """Posterior of each image, and its reconstruction through the posterior mean.

    images: float32 (B, C, H, W) in [0, 1] on the device of the VAE
    """
    posterior = vae.encoder(images)
    return Encoded(
        to_packed(vae.decoder(posterior.mean)),
        posterior.mean.cpu().numpy(),
        posterior.log_var.cpu().numpy(),
    )


def to_packed(batch: Tensor) -> NDArray[np.uint8]:
    """float (B, C, H, W) in [0, 1] on any device => uint8 (B, H, W, C)"""
    return np.asarray(to_uint8(batch).permute(0, 2, 3, 1).cpu().numpy())
