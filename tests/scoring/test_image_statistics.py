"""Sharpness and exposure by mathematics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import convolve

from sharpvae.scoring.measures import (
    blurred,
    digests,
    equal_reals,
    exposure,
    grey,
    laplacian_variance,
)

NOISE = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 1), dtype=np.uint8)
IMAGES = arrays(np.uint8, st.tuples(
    st.integers(1, 4), st.integers(3, 9), st.integers(3, 9), st.sampled_from([1, 3])
))  # fmt: skip


@given(st.integers(0, 255))
def test_a_constant_image_has_no_sharpness(value: int) -> None:
    assert laplacian_variance(np.full((2, 8, 8, 3), value, np.uint8)).tolist() == [0, 0]


def test_a_linear_ramp_has_no_sharpness() -> None:
    ramp = np.broadcast_to(np.arange(0, 160, 10, dtype=np.uint8)[:, None], (1, 16, 16))[..., None]
    assert laplacian_variance(ramp)[0] == pytest.approx(0, abs=1e-20)


@given(IMAGES)
def test_sharpness_is_the_variance_of_a_convolution(images: np.ndarray) -> None:
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float)
    expected = [convolve(g, kernel)[1:-1, 1:-1].var() for g in grey(images)]
    assert laplacian_variance(images) == pytest.approx(expected, abs=1e-12)


def test_blur_lowers_sharpness_every_time() -> None:
    previous = laplacian_variance(NOISE)
    for sigma in (0.5, 1.0, 2.0):
        now = laplacian_variance(blurred(NOISE, sigma))
        assert (now < previous).all()
        previous = now


def test_sharpness_grows_with_the_square_of_contrast() -> None:
    half = NOISE // 2 * 2 // 2
    assert laplacian_variance(half // 1) == pytest.approx(
        laplacian_variance((half * 2).astype(np.uint8)) / 4
    )


def test_a_checkerboard_outscores_any_photograph() -> None:
    board = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)[None, ..., None]
    assert laplacian_variance(board)[0] == pytest.approx(16.0)


def test_many_images_are_scored_as_one_by_one() -> None:
    many = np.random.default_rng(1).integers(0, 256, (1025, 4, 4, 1), dtype=np.uint8)
    singly = [laplacian_variance(image[None])[0] for image in many]
    assert laplacian_variance(many).tolist() == singly


@given(arrays(np.uint8, (3, 5, 5, 1), elements=st.integers(0, 100)), st.integers(0, 155))
def test_adding_a_constant_moves_brightness_and_extremes_alone(images, shift) -> None:
    before, after = exposure(images), exposure(images + np.uint8(shift))
    for name in ("brightness", "minimum", "maximum"):
        assert getattr(after, name) - getattr(before, name) == pytest.approx(shift / 255)
    assert after.contrast == pytest.approx(before.contrast, abs=1e-12)


@given(arrays(np.uint8, (3, 5, 5, 3), elements=st.integers(0, 63)), st.integers(1, 4))
def test_scaling_scales_contrast(images, factor) -> None:
    scaled = images * np.uint8(factor)
    assert exposure(scaled).contrast == pytest.approx(factor * exposure(images).contrast)


@given(IMAGES)
def test_exposure_lies_in_order(images: np.ndarray) -> None:
    found = exposure(images)
    assert 0 <= found.minimum <= found.brightness + 1e-12
    assert found.brightness <= found.maximum + 1e-12 <= 1 + 1e-12
    assert 0 <= found.contrast <= 0.5 + 1e-12


def test_samples_that_are_real_images_are_counted() -> None:
    reals = set(digests(NOISE))
    assert equal_reals(NOISE ^ 1, reals) == []
    (note,) = equal_reals(np.concatenate([NOISE ^ 1, NOISE[:3]]), reals)
    assert note.startswith("3 of 11 samples are real images, bit for bit")
