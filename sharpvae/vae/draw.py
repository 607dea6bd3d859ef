"""Images from a trained VAE: encoded, decoded, drawn from the prior."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.images.feed import Feed, to_uint8
from sharpvae.vae.vae import VAE


class Encoded(NamedTuple):
    """Images as the VAE sees them."""

    reconstructions: NDArray[np.uint8]  # (N, H, W, C), decoded from the posterior mean
    mean: NDArray[np.float32]  # (N, Z)
    log_var: NDArray[np.float32]  # (N, Z)


def from_prior(
    vae: VAE, count: int, batch_size: int, seed: int, labels: Tensor | None = None
) -> NDArray[np.uint8]:
    """Decode `count` draws from the prior N(0, I).

    One generator makes the noise of image after image, so more images begin with the same ones.

    Args:
        labels: int64 (count,), the classes asked for; an unconditional VAE needs none.

    Returns:
        uint8 (count, H, W, C)
    """
    return decode(vae, prior_noise(vae, count, seed), labels, batch_size)


def prior_noise(vae: VAE, count: int, seed: int) -> Tensor:
    """The draws that `from_prior` decodes: float32 (count, Z) on the CPU.

    Drawn there, the numbers and their split into batches are the same on any device.
    """
    return torch.randn(count, vae.latent_dim, generator=generator(seed, "prior"))


def asked_labels(labels: Tensor, count: int, seed: int) -> Tensor:
    """`count` classes, drawn as often as they occur among `labels`.

    int64 (N,) on the CPU => int64 (count,)
    """
    chosen = torch.randint(len(labels), (count,), generator=generator(seed, "asked labels"))
    return labels[chosen]


@torch.no_grad()
def decode(vae: VAE, codes: Tensor, labels: Tensor | None, batch_size: int) -> NDArray[np.uint8]:
    """Images of codes float32 (N, Z) and, for a conditional VAE, of labels int64 (N,).

    Returns uint8 (N, H, W, C).
    """
    device = next(vae.parameters()).device
    parts = []
    for start in range(0, len(codes), batch_size):
        chunk = slice(start, start + batch_size)
        asked = None if labels is None else labels[chunk].to(device)
        parts.append(to_packed(vae.decoder(codes[chunk].to(device), asked)))
    return np.concatenate(parts)


def encode(vae: VAE, feed: Feed, batch_size: int) -> Encoded:
    """Every image of `feed`, which leads to the device of the VAE, in its order."""
    batches = feed.in_order(batch_size)
    parts = [encode_images(vae, batch.images, batch.labels) for batch in batches]
    return Encoded(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


@torch.no_grad()
def encode_images(vae: VAE, images: Tensor, labels: Tensor | None = None) -> Encoded:
    """Posterior of each image, and its reconstruction through the posterior mean.

    images: float32 (B, C, H, W) in [0, 1] on the device of the VAE
    labels: int64 (B,) on the same; an unconditional VAE needs none
    """
    posterior = vae.encoder(images, labels)
    return Encoded(
        to_packed(vae.decoder(posterior.mean, labels)),
        posterior.mean.cpu().numpy(),
        posterior.log_var.cpu().numpy(),
    )


def to_packed(batch: Tensor) -> NDArray[np.uint8]:
    """float (B, C, H, W) in [0, 1] on any device => uint8 (B, H, W, C)"""
    return np.asarray(to_uint8(batch).permute(0, 2, 3, 1).cpu().numpy())
