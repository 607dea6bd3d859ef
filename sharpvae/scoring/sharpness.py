"""Sharpness that contrast does not move, as a distribution, and as document 000 measures it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sharpvae.scoring.measures import grey, laplacian_variance

Floats = NDArray[np.float64]

LEAST_VARIANCE = 1e-9  # less than one byte that differs makes in 128x128 RGB


def check_images(images: NDArray[np.uint8], side: int) -> None:
    """Raises ValueError unless uint8 (N, H, W, C), none of them 0, H and W at least `side`."""
    if images.dtype != np.uint8 or images.ndim != 4 or 0 in images.shape:
        raise ValueError(f"expected uint8 (N, H, W, C), found {images.dtype} {images.shape}")
    if min(images.shape[1:3]) < side:
        raise ValueError(f"images need {side} pixels a side, found {images.shape[1:3]}")


def is_constant(variance: Floats) -> NDArray[np.bool_]:
    """Of grey images in [0, 1], from their variances."""
    return variance < 1e-12  # rounding of the mean; one byte that differs makes more


def normalised_laplacian(images: NDArray[np.uint8]) -> Floats:
    """Laplacian variance of each grey image over its variance: sharpness without contrast.

    uint8 (N, H, W, C), H and W at least 3 => float64 (N,): 64 for a checkerboard, NaN for
    constant images.
    """
    check_images(images, 3)
    variance = grey(images).var(axis=(1, 2))
    return laplacian_variance(images) / np.where(is_constant(variance), np.nan, variance)


def laplacian_ratio_normalised(real: Floats, fake: Floats) -> float:
    """Mean `normalised_laplacian` of fakes over that of reals; dimming does not move it.

    1 for reals, below for blur; noise and checkerboards raise it.
    float64 (N,), (M,), NaN left out => >= 0.  Raises ValueError where nothing is left.
    """
    means = []
    for values in (real, fake):
        if np.isnan(values).all():
            raise ValueError("all images are constant: they have no contrast to divide by")
        means.append(float(np.nanmean(values)))
    if not means[0] > 0:
        raise ValueError("the real images have no sharpness to compare with")
    return means[1] / means[0]


def log_laplacian_distance(real: Floats, fake: Floats) -> float:
    """Wasserstein-1 distance of the log Laplacian variances: spread counts, not the mean alone.

    0.7 is a factor of two in every image. Values below LEAST_VARIANCE count as that, so that a flat
    image (variance 0) is far away but not infinitely.
    float64 `laplacian_variance` (N,), (M,) => nats, >= 0.  Raises ValueError for none or NaN.
    """
    logs = []
    for values in (real, fake):
        if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
            raise ValueError("Laplacian variances must be finite, one for each image")
        logs.append(np.sort(np.log(np.maximum(values, LEAST_VARIANCE))))
    both = np.sort(np.concatenate(logs))
    below = [np.searchsorted(log, both[:-1], side="right") / len(log) for log in logs]
    return float(np.abs(below[0] - below[1]) @ np.diff(both))


def gradient_sharpness(images: NDArray[np.uint8]) -> Floats:
    """Document 000's own sharpness: variance of the sum of both second central differences.

    As `numpy.gradient` applied twice along each axis: a Laplacian two pixels wide, blind to
    checkerboards inside the image.
    uint8 (N, H, W, C), H and W at least 3 => float64 (N,)
    """
    check_images(images, 3)
    g = grey(images)
    twice = [np.gradient(np.gradient(g, axis=axis), axis=axis) for axis in (1, 2)]
    return np.asarray((twice[0] + twice[1]).var(axis=(1, 2)))
