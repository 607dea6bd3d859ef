"""The codes of images: the posteriors that an encoder gives them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sharpvae.datasets.batches import Feed
from sharpvae.networks.vae import VAE
from sharpvae.randomness import generator


class Codes(NamedTuple):
    """Posteriors of a set of images, and the classes of these."""

    mean: NDArray[np.float64]  # (N, Z)
    deviation: NDArray[np.float64]  # (N, Z), standard deviations
    labels: NDArray[np.int64] | None  # (N,); None without labels


@torch.no_grad()
def codes_of(vae: VAE, feed: Feed, most: int, batch_size: int, seed: int) -> Codes:
    """The codes of the images of `feed`, or of `most` of them chosen at random.

    Nothing is decoded, which would take longer than all else here.
    """
    positions = torch.randperm(feed.count, generator=generator(seed, "encoded images"))[:most]
    means, deviations = [], []
    for chunk in positions.split(batch_size):
        batch = feed.take(chunk)
        posterior = vae.encoder(batch.images, batch.labels)
        means.append(posterior.mean.double().cpu().numpy())
        deviations.append((0.5 * posterior.log_var.double()).exp().cpu().numpy())
    labels = None if feed.labels is None else feed.labels[positions].numpy()
    return Codes(np.concatenate(means), np.concatenate(deviations), labels)
