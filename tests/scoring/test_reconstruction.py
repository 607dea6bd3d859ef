"""PSNR and SSIM against scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from sharpvae.scoring.measures import psnr, ssim

RANDOM = np.random.default_rng(0)


def images(channels: int, count: int = 5) -> tuple[np.ndarray, np.ndarray]:
    first = RANDOM.integers(0, 256, (count, 24, 20, channels), dtype=np.uint8)
    noise = RANDOM.normal(0, 20, first.shape)
    return first, (first + noise).round().clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_is_scikit_images(channels: int) -> None:
    a, b = images(channels)
    expected = [peak_signal_noise_ratio(x, y) for x, y in zip(a, b, strict=True)]
    assert psnr(a, b) == pytest.approx(expected)


def test_psnr_of_equals_is_infinite() -> None:
    a, _ = images(1)
    assert np.isinf(psnr(a, a)).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels: int) -> None:
    a, b = images(channels)
    expected = [
        structural_similarity(
            x, y, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
            data_range=255,
        )
        for x, y in zip(a, b, strict=True)
    ]  # fmt: skip
    assert ssim(a, b) == pytest.approx(expected, abs=1e-9)


def test_ssim_of_equals_is_one_and_symmetric() -> None:
    a, b = images(3)
    assert ssim(a, a) == pytest.approx(np.ones(len(a)))
    assert ssim(a, b) == pytest.approx(ssim(b, a))


def test_ssim_of_many_is_that_of_each() -> None:
    a, b = images(1, count=300)
    assert ssim(a, b)[256:] == pytest.approx(ssim(a[256:], b[256:]))
