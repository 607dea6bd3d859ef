"""FID and KID by closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import sqrtm

from sharpvae.perception.fidelity import fid, kid

RANDOM = np.random.default_rng(0)
SET = RANDOM.normal(size=(200, 6))


def test_fid_of_a_set_with_itself_is_zero() -> None:
    assert fid(SET, SET) == pytest.approx(0, abs=1e-8)


def test_fid_of_equal_covariances_is_the_squared_distance_of_the_means() -> None:
    shift = np.array([3.0, 0, 4, 0, 0, 0])
    assert fid(SET, SET + shift) == pytest.approx(25)


def test_fid_of_a_scaled_set_is_the_trace_formula() -> None:
    """For covariances S and a^2 S about a common mean: tr S (1 - a)^2."""
    centred = SET - SET.mean(0)
    expected = np.trace(np.cov(centred, rowvar=False)) * (1 - 3.0) ** 2
    assert fid(centred, 3 * centred) == pytest.approx(expected)


def test_fid_is_symmetric_and_that_of_a_matrix_root() -> None:
    other = RANDOM.normal(size=(150, 6)) @ RANDOM.normal(size=(6, 6)) + 1
    a, b = np.cov(SET, rowvar=False), np.cov(other, rowvar=False)
    expected = np.square(SET.mean(0) - other.mean(0)).sum() + np.trace(
        a + b - 2 * sqrtm(a @ b).real
    )
    assert fid(SET, other) == pytest.approx(expected)
    assert fid(other, SET) == pytest.approx(expected)


def test_fid_grows_with_the_shift() -> None:
    values = [fid(SET, SET + shift) for shift in (0.0, 0.1, 0.5, 1.0)]
    assert values == sorted(values)


def test_kid_of_whole_sets_is_the_unbiased_mmd() -> None:
    """Polynomial kernel (x.y / d + 1)^3, diagonals of the two own blocks left out."""
    x, y = SET[:50], SET[50:100] + 0.5

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 6 + 1) ** 3

    m = 50
    own = sum((kernel(s, s).sum() - np.trace(kernel(s, s))) / (m * (m - 1)) for s in (x, y))
    assert kid(x, y, subsets=3, subset_size=m) == pytest.approx(own - 2 * kernel(x, y).mean())


def test_kid_of_one_distribution_is_about_zero() -> None:
    """Unbiased: over many pairs of sets the mean is zero within its own standard error."""
    scores = []
    for seed in range(40):
        x, y = np.random.default_rng(seed).normal(size=(2, 100, 6))
        scores.append(kid(x, y, 1, 100))
    assert abs(np.mean(scores)) < 3 * np.std(scores) / np.sqrt(len(scores))
    assert min(scores) < 0, "an unbiased estimate of zero falls on both sides"


def test_too_few_images_say_how_many_are_needed() -> None:
    with pytest.raises(ValueError, match="10 generated images; 50 are needed"):
        kid(SET, SET[:10], 1, 50)
    with pytest.raises(ValueError, match="1 real images; 2 are needed"):
        fid(SET[:1], SET)


def test_features_that_are_not_finite_are_refused() -> None:
    bad = SET.copy()
    bad[3, 3] = np.nan
    with pytest.raises(ValueError, match="generated images are not finite"):
        fid(SET, bad)
