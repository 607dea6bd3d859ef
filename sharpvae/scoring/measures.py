"""What is measured on images and posteriors alone."""

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


_SSIM_CHUNK = 256


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

    Gaussian window of sigma 1.5 cut at 11x11, K1 = 0.01, K2 = 0.03, borders left out: as the
    authors published it.
    uint8 (N, H, W, C), H and W at least 11, twice => float64 (N,) in [-1, 1]
    """
    return np.concatenate(
        [
            _ssim(images[i : i + _SSIM_CHUNK], reconstructions[i : i + _SSIM_CHUNK])
            for i in range(0, len(images), _SSIM_CHUNK)
        ]
    )


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


def active_units(mean: NDArray[np.float32], threshold: float) -> int:
    """Latent dimensions whose posterior mean varies: Var_x E[z|x] > threshold.

    Burda et al. 2016, section 5.2, with threshold 0.01. None is a collapsed posterior.
    float32 (N, Z) => 0..Z
    """
    return int((mean.astype(np.float64).var(axis=0) > threshold).sum())


def kl_per_dimension(
    mean: NDArray[np.float32], log_var: NDArray[np.float32]
) -> NDArray[np.float64]:
    """KL of the posterior to the standard normal prior in nats, averaged over images.

    float32 (N, Z) twice => float64 (Z,)
    """
    m, v = mean.astype(np.float64), log_var.astype(np.float64)
    return np.asarray((0.5 * (m**2 + np.exp(v) - 1 - v)).mean(axis=0))
