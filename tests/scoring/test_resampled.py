"""Resampled distances against torch-fidelity, plain recomputation and known Gaussians."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sharpvae.perception.fidelity import fid
from sharpvae.scoring.resampled import FrechetReference, Moments, extrapolated, jackknife_error

Features = NDArray[np.float64]


def skewed(count: int, seed: int, dimension: int = 12, shift: float = 0.0) -> Features:
    """Correlated features on very different scales, away from 0."""
    mix = np.random.default_rng(99).normal(size=(dimension, dimension))
    mix *= np.geomspace(1, 0.01, dimension)
    return np.random.default_rng(seed).exponential(size=(count, dimension)) @ mix + 50 + shift


def without(features: Features, group: int, groups: int) -> Features:
    return features[np.arange(len(features)) % groups != group]


def distance(real: Features, fake: Features) -> float:
    return FrechetReference(real).distance(Moments(fake))


def frechet_replicates(real: Features, fake: Features, groups: int = 10) -> Features:
    return FrechetReference(real, groups).replicates(Moments(fake, groups))


def fid_extrapolated(real: Features, fake: Features) -> tuple[float, float]:
    return extrapolated(distance(real, fake), frechet_replicates(real, fake))


@pytest.mark.parametrize(("count", "dimension"), [(200, 3), (200, 40), (50, 49)])
def test_of_all_images_it_is_torch_fidelitys_fid(count: int, dimension: int) -> None:
    real, fake = skewed(count, 0, dimension), 1.2 * skewed(count + 9, 1, dimension, shift=0.3)
    assert distance(real, fake) == pytest.approx(fid(real, fake), rel=1e-6)


def test_with_fewer_images_than_features_too() -> None:
    real, fake = skewed(25, 0, 60), skewed(20, 1, 60, shift=0.1)
    assert distance(real, fake) == pytest.approx(fid(real, fake), rel=1e-6)


def test_equal_sets_are_at_0() -> None:
    real = skewed(100, 0)
    assert distance(real, real) == pytest.approx(0, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 10), st.integers(30, 60), st.integers(30, 60))
def test_a_frechet_replicate_is_the_fid_of_what_is_left(groups: int, n: int, m: int) -> None:
    real, fake = skewed(n, 0, 5), skewed(m, 1, 5, shift=0.2)
    expected = [fid(*(without(set_, g, groups) for set_ in (real, fake))) for g in range(groups)]
    assert frechet_replicates(real, fake, groups) == pytest.approx(np.array(expected), rel=1e-6)


def test_a_reference_serves_several_sets_of_fakes() -> None:
    real, fakes = skewed(60, 0), [skewed(60, seed) for seed in (1, 2)]
    reference = FrechetReference(real)
    for fake in fakes:
        found = reference.replicates(Moments(fake))
        assert found == pytest.approx(frechet_replicates(real, fake), rel=1e-12)


def test_the_jackknife_of_a_mean_is_its_textbook_error() -> None:
    values = np.random.default_rng(0).normal(size=50)
    means = np.array([np.delete(values, i).mean() for i in range(50)])
    assert jackknife_error(means) == pytest.approx(values.std(ddof=1) / 50**0.5)


def test_a_bias_of_c_over_n_is_removed() -> None:
    """The variance divided by N becomes the variance divided by N - 1."""
    values = np.random.default_rng(0).normal(size=40)
    left = np.array([np.delete(values, i).var() for i in range(40)])
    assert extrapolated(float(values.var()), left)[0] == pytest.approx(values.var(ddof=1))


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.1, 0.8)])
def test_the_limit_is_the_distance_of_the_gaussians(shift: float, scale: float) -> None:
    """Known: |shift|^2 + sum of (1 - scale)^2 variances. The error says how far off one may be."""
    deviations = np.geomspace(1, 0.3, 15)
    true = 15 * shift**2 + (1 - scale) ** 2 * (deviations**2).sum()
    rng, found, plain = np.random.default_rng(0), [], []
    for _ in range(25):
        real = rng.normal(size=(200, 15)) * deviations
        fake = rng.normal(size=(200, 15)) * deviations * scale + shift
        found.append(fid_extrapolated(real, fake))
        plain.append(distance(real, fake))
    values, errors = np.array(found).T
    off = abs(values.mean() - true)
    assert off < 4 * values.std() / 25**0.5
    assert off < 0.15 * abs(np.mean(plain) - true), "FID itself is far too high"
    assert 0.6 * values.std() < errors.mean() < 2 * values.std()


Score = Callable[[Features, Features], object]


@pytest.mark.parametrize("score", [fid_extrapolated, frechet_replicates])
def test_bad_features_are_named(score: Score) -> None:
    good = skewed(30, 0)
    broken = np.where(good == good[3, 3], np.nan, good)
    with pytest.raises(ValueError, match="not finite"):
        score(good, broken)
    with pytest.raises(ValueError, match=r"\(N, F\)"):
        score(good[:, 0], good)
    with pytest.raises(ValueError, match="1 images are too few"):
        score(good, good[:1])


def test_bad_groups_are_named() -> None:
    good = skewed(30, 0)
    with pytest.raises(ValueError, match="at least 2 groups"):
        frechet_replicates(good, good, groups=1)
    with pytest.raises(ValueError, match="30 images are too few for 31"):
        frechet_replicates(good, good, groups=31)
    with pytest.raises(ValueError, match="5 groups of fakes, 10 of reals"):
        FrechetReference(good).replicates(Moments(good, 5))


def test_reals_that_are_one_image_are_refused_fakes_are_scored() -> None:
    real, one = skewed(40, 0), np.full((40, 12), 50.0)
    with pytest.raises(ValueError, match="same features"):
        frechet_replicates(one, real)
    assert distance(real, one) == pytest.approx(fid(real, one), rel=1e-6)
