"""Codes of images, and the axes along which they tell something.

Most directions of a large latent space hold little but the posteriors' noise, which a density of
all of them would be fitted to. So codes are divided by the noise's standard deviation in each
dimension and turned to the principal axes of the posterior means, where the variance of the means
is the ratio of signal to noise. A density is fitted to the axes of strong signal jointly; each of
the others keeps a Gaussian of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.images.feed import Feed
from sharpvae.vae.vae import VAE

Array = NDArray[np.float64]


class Codes(NamedTuple):
    """Posteriors of a set of images, and the classes of these."""

    mean: NDArray[np.float64]  # (N, Z)
    deviation: NDArray[np.float64]  # (N, Z), standard deviations
    labels: NDArray[np.int64] | None  # (N,); None without labels


class Axes(NamedTuple):
    """The affine map from codes to the axes of signal, and back."""

    centre: Array  # (Z,), mean of the posterior means
    noise: Array  # (Z,), root mean square of the posteriors' standard deviations
    directions: Array  # (Z, Z), orthonormal columns, the strongest signal first
    signal: Array  # (Z,), variance of the means along each, in units of the noise's

    def to_axes(self, codes: Array) -> Array:
        """(N, Z) => (N, Z)"""
        return np.asarray((codes - self.centre) / self.noise @ self.directions)

    def strong(self, signal: float, most: int) -> int:
        """How many axes, at most `most`, have more than `signal`; 0 where the codes collapsed."""
        return min(most, int((self.signal > signal).sum()))

    def rest(self, strong: int) -> Array:
        """(Z - strong,), variances of codes along the axes that are left."""
        return np.asarray(1 + self.signal[strong:])

    def rest_density(self, coordinates: Array, strong: int) -> float:
        """Mean log-density of (N, Z) along the axes that are left, and the map's log-volume."""
        variances = self.rest(strong)
        density = np.square(coordinates[:, strong:]) / variances + np.log(2 * np.pi * variances)
        return float(-0.5 * density.sum(axis=1).mean() - np.log(self.noise).sum())

    def to_codes(self, coordinates: Array) -> Array:
        """(N, Z) => (N, Z), the inverse of `to_axes`"""
        return np.asarray(coordinates @ self.directions.T * self.noise + self.centre)


def principal_axes(codes: Codes) -> Axes:
    """The axes of signal of a set of posteriors."""
    centre = codes.mean.mean(axis=0)
    noise = np.sqrt(np.square(codes.deviation).mean(axis=0))
    scaled = (codes.mean - centre) / noise
    signal, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    return Axes(centre, noise, directions[:, ::-1], signal[::-1].clip(0))


def draws(codes: Codes, count: int, source: torch.Generator) -> Array:
    """float64 (count, Z), draws from the aggregate posterior, image after image, in turn."""
    images = np.arange(count) % len(codes.mean)
    noise = torch.randn(count, codes.mean.shape[1], generator=source, dtype=torch.float64)
    return np.asarray(codes.mean[images] + codes.deviation[images] * noise.numpy())


def repeated_labels(codes: Codes, count: int) -> Tensor | None:
    """int64 (count,), the classes of `draws`; None without labels."""
    if codes.labels is None:
        return None
    return torch.from_numpy(codes.labels[np.arange(count) % len(codes.labels)])


@torch.no_grad()
def codes_of(vae: VAE, feed: Feed, most: int, batch_size: int, seed: int) -> Codes:
    """The codes of the images of `feed`, or of `most` of them chosen at random."""
    positions = torch.randperm(feed.count, generator=generator(seed, "encoded images"))[:most]
    means, deviations = [], []
    for chunk in positions.split(batch_size):
        batch = feed.take(chunk)
        posterior = vae.encoder(batch.images, batch.labels)
        means.append(posterior.mean.double().cpu().numpy())
        deviations.append((0.5 * posterior.log_var.double()).exp().cpu().numpy())
    labels = None if feed.labels is None else feed.labels[positions].numpy()
    return Codes(np.concatenate(means), np.concatenate(deviations), labels)
