"""Sharpness and exposure of single images, in float64 and without a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_CHUNK = 512


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
    for start in range(0, len(images), _CHUNK):
        g = grey(images[start : start + _CHUNK])
        laplacian = (
            g[:, :-2, 1:-1]
            + g[:, 2:, 1:-1]
            + g[:, 1:-1, :-2]
            + g[:, 1:-1, 2:]
            - 4 * g[:, 1:-1, 1:-1]
        )
        values.append(laplacian.var(axis=(1, 2)))
    return np.concatenate(values)


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
