"""What is measured on images, without a network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_CHUNK = 32  # images that fit into the cache
PSNR_OF_EQUALS = 100.0  # dB; stands in for infinity where a reconstruction equals its image


def _in_chunks(
    measure: Callable[..., NDArray[np.float64]], *images: NDArray[np.uint8]
) -> NDArray[np.float64]:
    starts = range(0, len(images[0]), _CHUNK)
    return np.concatenate(
        [measure(*(i[start : start + _CHUNK] for i in images)) for start in starts]
    )


def grey(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The mean over channels.  uint8 (N, H, W, C) => float64 (N, H, W) in [0, 1]"""
    return np.asarray(images, dtype=np.float64).mean(axis=3) / 255


def laplacian_variance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Variance of the 3x3 Laplacian (4-neighbour) of each grey image, its inner pixels only.

    Sharpness in the sense of Pech-Pacheco et al. 2000. Noise and checkerboards raise it too, so a
    high value is not a good one: compare with real images.
    uint8 (N, H, W, C) => float64 (N,)
    """
    return _in_chunks(_laplacian_variance, images) / (255 * images.shape[3]) ** 2


def _laplacian_variance(images: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of sums over channels: they and their Laplacians are integers, exact and quick to add."""
    g = images[..., 0].astype(np.int16)
    for channel in range(1, images.shape[3]):
        g += images[..., channel]
    laplacian = -4 * g[:, 1:-1, 1:-1]
    for neighbour in (g[:, :-2, 1:-1], g[:, 2:, 1:-1], g[:, 1:-1, :-2], g[:, 1:-1, 2:]):
        laplacian += neighbour
    flat = laplacian.reshape(len(g), -1).astype(np.float64)
    squares = np.einsum("ij,ij->i", flat, flat)
    return np.asarray((squares - flat.sum(axis=1) ** 2 / flat.shape[1]) / flat.shape[1])


@dataclass(frozen=True)
class Exposure:
    """Means over images of a statistic of each image's grey pixels, in [0, 1]."""

    brightness: float  # the mean
    contrast: float  # the standard deviation
    minimum: float
    maximum: float


def digests(images: NDArray[np.uint8]) -> list[bytes]:
    """A short name for each image, the same for equal ones.  uint8 (N, H, W, C)"""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in images]


def equal_reals(samples: NDArray[np.uint8], reals: Collection[bytes]) -> list[str]:
    """A note, if some samples (N, H, W, C) are real images; `reals` are the `digests` of those."""
    equal = sum(digest in reals for digest in digests(samples))
    note = (
        f"{equal} of {len(samples)} samples are real images, bit for bit: where they are some that "
        "they are compared with, distances are too low"
    )
    return [note] if equal else []


def distinct(images: NDArray[np.uint8]) -> float:
    """The number of different images over that of images, 0..1.  uint8 (N, H, W, C), N > 0"""
    return len(set(digests(images))) / len(images)


def exposure(images: NDArray[np.uint8]) -> Exposure:
    """uint8 (N, H, W, C) => Exposure"""

    def measure(chunk: NDArray[np.uint8]) -> NDArray[np.float64]:
        g = grey(chunk)
        return np.stack([g.mean((1, 2)), g.std((1, 2)), g.min((1, 2)), g.max((1, 2))], 1)

    return Exposure(*_in_chunks(measure, images).mean(0).tolist())


def blurred(images: NDArray[np.uint8], sigma: float) -> NDArray[np.uint8]:
    """Gaussian blur of `sigma` pixels.  uint8 (N, H, W, C) => the same"""
    smooth = gaussian_filter(np.asarray(images, np.float64), sigma=(0, sigma, sigma, 0))
    return np.round(smooth).clip(0, 255).astype(np.uint8)


def psnr(images: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each image in dB; infinite where the two are equal.

    uint8 (N, H, W, C) twice => float64 (N,)
    """
    difference = images.astype(np.float64) - reconstructions.astype(np.float64)
    error = np.square(difference).mean(axis=(1, 2, 3))
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(255.0**2 / error))


def ssim(images: NDArray[np.uint8], reconstructions: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Structural similarity of each image (Wang et al. 2004), the mean over channels.

    As published: Gaussian window of sigma 1.5 cut at 11x11, K1 = 0.01, K2 = 0.03, no borders.
    uint8 (N, H, W, C), H and W at least 11, twice => float64 (N,) in [-1, 1]
    """
    return _in_chunks(_ssim, images, reconstructions)


def _ssim(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.float64]:
    def window(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(gaussian_filter(values, sigma=(0, 1.5, 1.5, 0), radius=(0, 5, 5, 0)))

    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = window(x), window(y)
    var_x = window(x * x) - mean_x**2
    var_y = window(y * y) - mean_y**2
    covariance = window(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return np.asarray(similarity[:, 5:-5, 5:-5].mean(axis=(1, 2, 3)))


def likeness(test: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> dict[str, float]:
    """PSNR in dB and SSIM of the reconstructions, means over images."""
    return {
        "psnr": float(np.minimum(psnr(test, reconstruction), PSNR_OF_EQUALS).mean()),
        "ssim": float(ssim(test, reconstruction).mean()),
    }
