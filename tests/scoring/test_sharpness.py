"""Contrast-free sharpness and the distance of sharpness distributions, against plain loops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sharpvae.scoring.measures import blurred, grey, laplacian_variance
from sharpvae.scoring.sharpness import (
    LEAST_VARIANCE,
    gradient_sharpness,
    laplacian_ratio_normalised,
    log_laplacian_distance,
    normalised_laplacian,
)

NOISE = np.random.default_rng(0).integers(0, 201, (12, 16, 16, 3), dtype=np.uint8)
BOARD = (np.indices((16, 16)).sum(0) % 2 * 255).astype(np.uint8)[None, ..., None]
VARIANCES = st.integers(1, 9).flatmap(lambda n: arrays(np.float64, n, elements=st.floats(0, 16)))


def test_dimming_and_brightening_leave_normalised_sharpness() -> None:
    even = NOISE // 2 * 2
    expected = normalised_laplacian(even)
    assert normalised_laplacian(even // 2) == pytest.approx(expected)
    assert normalised_laplacian(even + np.uint8(55)) == pytest.approx(expected)


def test_normalised_sharpness_of_a_checkerboard_is_64() -> None:
    assert normalised_laplacian(BOARD) == pytest.approx([64])


def test_normalised_sharpness_falls_with_blur() -> None:
    ratios = [
        laplacian_ratio_normalised(
            normalised_laplacian(NOISE), normalised_laplacian(blurred(NOISE, s))
        )
        for s in (0, 0.5, 1, 2)
    ]
    assert ratios[0] == 1 and ratios == sorted(ratios, reverse=True) and ratios[-1] < 0.05


def test_constant_images_are_nan_and_left_out() -> None:
    flat = np.full((3, 16, 16, 3), 7, np.uint8)
    values = normalised_laplacian(np.concatenate([NOISE, flat]))
    assert np.isnan(values).tolist() == [False] * 12 + [True] * 3
    assert laplacian_ratio_normalised(values, values[:12]) == 1


def test_images_without_contrast_or_reals_without_sharpness_are_refused() -> None:
    nothing, something = np.array([np.nan, np.nan]), np.array([1.0])
    for pair in ((nothing, something), (something, nothing)):
        with pytest.raises(ValueError, match="constant"):
            laplacian_ratio_normalised(*pair)
    with pytest.raises(ValueError, match="no sharpness"):
        laplacian_ratio_normalised(np.zeros(2), something)


def _transported(a: np.ndarray, b: np.ndarray) -> float:
    """Wasserstein-1 by copies: each value as often as makes both samples equally long."""
    a, b = sorted(list(a) * len(b)), sorted(list(b) * len(a))
    return sum(abs(x - y) for x, y in zip(a, b, strict=True)) / len(a)


@given(VARIANCES, VARIANCES)
def test_distance_is_the_mean_way_between_sorted_logs(a: np.ndarray, b: np.ndarray) -> None:
    logs = [np.log(np.maximum(v, LEAST_VARIANCE)) for v in (a, b)]
    assert log_laplacian_distance(a, b) == pytest.approx(_transported(*logs), abs=1e-9)


@given(VARIANCES, st.floats(1.1, 100))
def test_a_common_factor_is_as_far_as_its_log(values: np.ndarray, factor: float) -> None:
    values = values + 0.01
    assert log_laplacian_distance(values, values * factor) == pytest.approx(np.log(factor))


def test_a_flat_image_is_as_far_as_the_floor() -> None:
    assert log_laplacian_distance(np.ones(1), np.zeros(1)) == pytest.approx(-np.log(LEAST_VARIANCE))


def test_one_byte_in_a_photograph_lies_above_the_floor() -> None:
    image = np.zeros((1, 128, 128, 3), np.uint8)
    image[0, 64, 64, 0] = 1
    assert laplacian_variance(image)[0] > LEAST_VARIANCE


@pytest.mark.parametrize("bad", [np.zeros(0), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_bad_variances_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite, one for each image"):
        log_laplacian_distance(np.ones(2), bad)


def test_gradient_sharpness_is_the_variance_of_twice_numpys_gradient() -> None:
    expected = []
    for g in grey(NOISE):
        down, right = np.gradient(g)
        expected.append((np.gradient(down)[0] + np.gradient(right)[1]).var())
    assert gradient_sharpness(NOISE) == pytest.approx(expected)


def test_gradient_sharpness_of_a_bump_by_hand() -> None:
    """Far from the border each second difference is (g[-2] - 2 g[0] + g[2]) / 4."""
    image = np.zeros((1, 15, 15, 1), np.uint8)
    image[0, 7, 7] = 255
    values = np.array([-1.0, 0.25, 0.25, 0.25, 0.25] + [0] * (225 - 5))
    assert gradient_sharpness(image) == pytest.approx([values.var()])


@pytest.mark.parametrize(
    "bad",
    [NOISE[:, :, :1], NOISE[..., 0], NOISE[:0], NOISE.astype(np.float32)],
    ids=["one pixel wide", "no channels", "none", "floats"],
)
def test_bad_images_are_refused(bad: np.ndarray) -> None:
    for measure in (normalised_laplacian, gradient_sharpness):
        with pytest.raises(ValueError, match="found"):
            measure(bad)
