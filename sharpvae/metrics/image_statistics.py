"""Sharpness and exposure of single images, in float64 and without a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_CHUNK = 512
_SMALL_CHUNK = 32  # images that fit into the cache


def grey(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean over channels.  uint8 (N, H, W, C) => float64 (N, H, W) in [0, 1]"""
    return np.asarray(images, dtype=np.float64).mean(axis=3) / 255


def laplacian_variance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Variance of the 3x3 Laplacian (4-neighbour) of each grey image, its inner pixels only.

    Sharpness in the sense of Pech-Pacheco et al. 2000. Noise and checkerboards raise it too, so a
    high value is not a good one: compare with real images.
    uint8 (N, H, W, C) => float64 (N,)
    """
    values = []
    for start in range(0, len(images), _SMALL_CHUNK):
        chunk = images[start : start + _SMALL_CHUNK]
        # Sums over channels are whole numbers, and so are their Laplacians: exact, and quick.
        g = chunk[..., 0].astype(np.int16)
        for channel in range(1, chunk.shape[3]):
            g += chunk[..., channel]
        laplacian = -4 * g[:, 1:-1, 1:-1]
        for neighbour in (g[:, :-2, 1:-1], g[:, 2:, 1:-1], g[:, 1:-1, :-2], g[:, 1:-1, 2:]):
            laplacian += neighbour
        flat = laplacian.reshape(len(g), -1).astype(np.float64)
        squares = np.einsum("ij,ij->i", flat, flat)
        values.append((squares - flat.sum(axis=1) ** 2 / flat.shape[1]) / flat.shape[1])
    return np.concatenate(values) / (255 * images.shape[3]) ** 2


@dataclass(frozen=True)
class Exposure:
    """Means over images of each image's own statistic; all in [0, 1].

    Attributes:
        brightness: mean of the pixels.
        contrast: standard deviation of the grey pixels.
        minimum, maximum: darkest and brightest grey pixel.
    """

    brightness: float
    contrast: float
    minimum: float
    maximum: float


def exposure(images: NDArray[np.uint8]) -> Exposure:
    """uint8 (N, H, W, C) => Exposure"""
    chunks = [grey(images[start : start + _CHUNK]) for start in range(0, len(images), _CHUNK)]
    statistics = np.concatenate(
        [np.stack([g.mean((1, 2)), g.std((1, 2)), g.min((1, 2)), g.max((1, 2))], 1) for g in chunks]
    )
    return Exposure(*(float(value) for value in statistics.mean(0)))


def blurred(images: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Gaussian blur of `sigma` pixels.  uint8 (N, H, W, C) => the same"""
    smooth = gaussian_filter(np.asarray(images, np.float64), sigma=(0, sigma, sigma, 0))
    return np.round(smooth).clip(0, 255).astype(np.uint8)
