"""How near a reconstruction is to its own image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

_CHUNK = 256


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
            _ssim(images[i : i + _CHUNK], reconstructions[i : i + _CHUNK])
            for i in range(0, len(images), _CHUNK)
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
