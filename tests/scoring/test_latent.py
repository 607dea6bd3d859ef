"""Latent health by construction."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from sharpvae.scoring.latent import (
    active_units,
    aggregate,
    information_least,
    kl_per_dimension,
    kl_split,
    latent_health,
    signal_axes,
)

Floats = NDArray[np.float32]


def posterior(count: int, dimension: int, seed: int = 0) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dimension, dimension))
    mean = rng.normal(size=(count, dimension)) @ mix + 0.3
    log_var = rng.normal(size=(count, dimension)) * 0.5 - 1
    return mean.astype(np.float32), log_var.astype(np.float32)


def test_a_collapsed_posterior_has_no_active_unit_and_no_kl() -> None:
    zeros = np.zeros((10, 4), np.float32)
    assert active_units(zeros, 0.01) == 0
    assert kl_per_dimension(zeros, zeros).tolist() == [0, 0, 0, 0]


def test_units_count_by_the_variance_of_their_mean() -> None:
    mean = np.random.default_rng(0).normal(size=(5000, 3)) * np.sqrt([0.5, 0.02, 0.005])
    assert active_units(mean.astype(np.float32), 0.01) == 2
    constant = np.full((10, 2), 7, np.float32)
    assert active_units(constant, 0.01) == 0, "a mean that is off zero but never moves says nothing"


def test_kl_per_dimension_is_that_of_torch_distributions() -> None:
    mean, log_var = torch.randn(2, 50, 3)
    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).mean(0)
    assert kl_per_dimension(mean.numpy(), log_var.numpy()) == pytest.approx(expected.numpy(), 1e-4)


def test_many_units_that_move_together_are_few_axes() -> None:
    """300 active units, of which every one repeats two causes and a little of its own."""
    rng = np.random.default_rng(0)
    causes, spread = rng.normal(size=(1000, 2)), rng.normal(size=(2, 300)) * 0.3
    mean = causes @ spread + 0.15 * rng.normal(size=(1000, 300))
    mean, log_var = mean.astype(np.float32), np.zeros((1000, 300), np.float32)
    assert active_units(mean, 0.01) == 300
    assert signal_axes(mean, log_var)[0] == 2
    assert signal_axes(mean, log_var, threshold=0.01)[0] > 2


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 30), st.integers(1, 12))
def test_variances_along_axes_are_those_of_the_scaled_means(count: int, dimension: int) -> None:
    mean, log_var = posterior(count, dimension)
    noise = np.exp(log_var.astype(np.float64)).mean(0)
    scaled = mean.astype(np.float64) / np.sqrt(noise)
    expected = np.linalg.svd(scaled - scaled.mean(0), compute_uv=False) ** 2 / count
    number, found = signal_axes(mean, log_var)
    assert found == pytest.approx(expected, rel=1e-6, abs=1e-9 * expected[0] + 1e-12)
    assert number == (expected > 0.1).sum()


def test_the_scale_of_a_dimension_does_not_matter() -> None:
    """A decoder can undo it, noise and all."""
    mean, log_var = posterior(200, 6)
    scale = np.geomspace(0.1, 10, 6)
    moved = (mean * scale).astype(np.float32), (log_var + 2 * np.log(scale)).astype(np.float32)
    assert signal_axes(*moved)[1] == pytest.approx(signal_axes(mean, log_var)[1], rel=1e-4)
    expected = kl_split(mean, log_var).information
    assert kl_split(*moved).information == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("count", "dimension"), [(300, 4), (20, 40)])
def test_the_split_is_that_of_the_moments_also_of_few_images(count: int, dimension: int) -> None:
    mean, log_var = posterior(count, dimension)
    m, v = (torch.from_numpy(each.astype(np.float64)) for each in (mean, np.exp(log_var)))
    covariance = torch.cov(m.T, correction=0) + torch.diag(v.mean(0))
    prior = MultivariateNormal(torch.zeros_like(m[0]), torch.eye(dimension, dtype=torch.float64))
    marginal = float(kl_divergence(MultivariateNormal(m.mean(0), covariance), prior))
    split = kl_split(mean, log_var)
    assert split.marginal == pytest.approx(marginal, rel=1e-5)
    assert aggregate(mean, log_var)["marginal_kl"] == pytest.approx(marginal, rel=1e-5)
    assert split.total == pytest.approx(kl_per_dimension(mean, log_var).sum())
    assert split.information + split.marginal == pytest.approx(split.total)


@pytest.mark.parametrize("signal", [0.5, 2.0])
def test_the_split_is_exact_of_gaussians(signal: float) -> None:
    """z = x + noise: the information is the channel's capacity, 0.5 log(1 + signal / noise)."""
    x = np.random.default_rng(0).normal(size=(100_000, 3)) * math.sqrt(signal)
    log_var = np.full(x.shape, math.log(0.25), np.float32)
    split = kl_split(x.astype(np.float32), log_var)
    variance = signal + 0.25
    assert split.information == pytest.approx(1.5 * math.log(1 + signal / 0.25), rel=0.01)
    marginal = 1.5 * (variance - 1 - math.log(variance))
    assert split.marginal == pytest.approx(marginal, abs=0.01)


def test_the_two_bounds_enclose_the_information_of_a_known_code() -> None:
    """Two far classes of a fair coin tell ln 2, whatever a Gaussian of that variance could."""
    coin = np.where(np.arange(400) % 2, 3.0, -3.0)[:, None].astype(np.float32)
    log_var = np.full((400, 1), math.log(0.1), np.float32)
    assert information_least(coin, log_var) == pytest.approx(math.log(2), abs=1e-3)
    assert kl_split(coin, log_var).information > math.log(2)


def test_the_bounds_meet_where_the_code_is_gaussian_and_tells_little() -> None:
    mean = np.random.default_rng(0).normal(size=(2000, 2)).astype(np.float32) * 0.7
    log_var = np.full(mean.shape, math.log(0.5), np.float32)
    upper = kl_split(mean, log_var).information
    assert information_least(mean, log_var) == pytest.approx(upper, rel=0.05)


def test_codes_that_tell_every_image_tell_log_n() -> None:
    mean, log_var = posterior(50, 8)
    found = information_least(mean * 100, log_var)
    assert found == pytest.approx(math.log(50))


@pytest.mark.parametrize("spread", [1.0, 0.05])
def test_equal_posteriors_tell_nothing_at_any_kl(spread: float) -> None:
    mean = np.full((30, 5), 2.0, np.float32)
    log_var = np.full((30, 5), 2 * math.log(spread), np.float32)
    split = kl_split(mean, log_var)
    assert split.total >= 10
    assert split.information == pytest.approx(0, abs=1e-6)
    assert information_least(mean, log_var) == pytest.approx(0, abs=1e-9)
    assert signal_axes(mean, log_var)[0] == 0


def test_an_aggregate_that_is_the_prior_has_nothing_to_report() -> None:
    mean = np.random.default_rng(0).normal(size=(50_000, 3)).astype(np.float32) * 0.8
    found = aggregate(mean, np.full(mean.shape, math.log(0.36), np.float32))
    for name in ("marginal_kl", "marginal_kl_axes", "worst_kl", "worst_mean"):
        assert found[name] == pytest.approx(0, abs=0.02)
    for name in ("worst_deviation", "narrowest", "widest"):
        assert found[name] == pytest.approx(1, abs=0.02)


def test_the_worst_axis_is_named_and_correlation_is_told_apart() -> None:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=(20_000, 1))
    mean = np.sqrt(0.5) * np.repeat(cause, 3, axis=1)  # deviation 1 with the noise, correlated
    mean[:, 1] += 2
    found = aggregate(mean.astype(np.float32), np.full(mean.shape, math.log(0.5), np.float32))
    assert found["worst_axis"] == 1
    assert found["worst_mean"] == pytest.approx(2, abs=0.02)
    assert found["worst_kl"] == pytest.approx(2, abs=0.05), "half the square of the shift"
    # Correlations of 0.5: eigenvalues 2, 0.5, 0.5.
    assert found["widest"] == pytest.approx(math.sqrt(2), abs=0.02)
    assert found["narrowest"] == pytest.approx(math.sqrt(0.5), abs=0.02)
    rest = found["marginal_kl"] - found["marginal_kl_axes"]
    assert rest == pytest.approx(-0.5 * math.log(2 * 0.5 * 0.5), abs=0.02)


def test_one_dimension_is_enough() -> None:
    mean, log_var = posterior(20, 1)
    found = latent_health(mean * 20, log_var, 0.01)
    assert found["signal_axes"] == found["active_units"] == 1
    assert found["kl"] == pytest.approx(found["information"] + found["marginal_kl"])
    assert all(np.isfinite(list(found.values())))


BAD = [
    (np.zeros((1, 3)), np.zeros((1, 3)), "one image"),
    (np.zeros((4, 3)), np.zeros((4, 2)), "must both be"),
    (np.zeros((4, 0)), np.zeros((4, 0)), "must both be"),
    (np.full((4, 3), np.nan), np.zeros((4, 3)), "not finite"),
    (np.zeros((4, 3)), np.full((4, 3), 1000), "not finite"),
    (np.zeros((4, 3)), np.full((4, 3), -1000), "variance is 0"),
]


@pytest.mark.parametrize(("mean", "log_var", "message"), BAD)
def test_bad_posteriors_are_named(mean: Floats, log_var: Floats, message: str) -> None:
    for score in (signal_axes, kl_split, information_least, aggregate):
        with pytest.raises(ValueError, match=message):
            score(mean.astype(np.float32), log_var.astype(np.float32))
