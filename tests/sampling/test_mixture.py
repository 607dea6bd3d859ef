"""The mixture of the codes: an exact change of axes, the right density, the right choice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import generator
from sharpvae.sampling.codes import Codes, draws, principal_axes
from sharpvae.sampling.config import MixtureConfig
from sharpvae.sampling.mixture import Mixture, fit_mixture


def config(**changes: object) -> MixtureConfig:
    base = {"components": [1, 3], "draws": 3000, "signal": 0.1, "axes": 64, "iterations": 50}
    return MixtureConfig.model_validate({**base, **changes})


def codes(mean: np.ndarray, deviation: float | np.ndarray = 0.3) -> Codes:
    return Codes(mean, np.broadcast_to(deviation, mean.shape).copy(), None)


def three_lumps(count: int, seed: int, dimensions: int = 6) -> Codes:
    """Means around three points of the first two dimensions; the rest is noise alone."""
    random = np.random.default_rng(seed)
    centres = np.zeros((3, dimensions))
    centres[:, :2] = [[4, 0], [-4, 0], [0, 5]]
    means = centres[random.choice(3, count, p=[0.5, 0.3, 0.2])]
    means[:, :2] += 0.5 * random.normal(size=(count, 2))
    return codes(means, 0.6)


def covariances(mixture: Mixture) -> np.ndarray:
    """(K, Z, Z), as the mixture has them in the latent space."""
    axes, known = mixture.axes, mixture.means.shape[1]
    to_codes = axes.noise[:, None] * axes.directions
    full = []
    for factor in mixture.factors:
        inner = np.diag(np.concatenate([np.zeros(known), mixture.rest]))
        inner[:known, :known] = factor @ factor.T
        full.append(to_codes @ inner @ to_codes.T)
    return np.array(full)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 7), st.integers(2, 20))
def test_the_axes_are_a_change_of_coordinates(seed: int, dimensions: int, count: int) -> None:
    """Invertible; uncorrelated means of the variance said; noise of variance 1 on average."""
    random = np.random.default_rng(seed)
    given_ = Codes(
        random.normal(size=(count, dimensions)) * random.uniform(0.1, 5, dimensions),
        random.uniform(0.05, 2, (count, dimensions)), None,
    )  # fmt: skip
    axes = principal_axes(given_)
    assert np.allclose(axes.to_codes(axes.to_axes(given_.mean)), given_.mean)
    turned = axes.to_axes(given_.mean)
    assert np.allclose(turned.T @ turned / count, np.diag(axes.signal), atol=1e-8)
    assert (np.diff(axes.signal) <= 1e-12).all()
    turn = axes.directions.T / axes.noise
    noise = np.einsum("ij,nj,kj->ik", turn, given_.deviation**2, turn) / count
    assert np.allclose(noise, np.eye(dimensions), atol=1e-8)


def test_draws_follow_the_posteriors() -> None:
    posteriors = Codes(np.array([[0.0, 10], [5, -10]]), np.array([[1.0, 2], [0.1, 0.5]]), None)
    drawn = draws(posteriors, 40001, generator(0, "test"))
    assert drawn.shape == (40001, 2)
    for image in (0, 1):
        own = drawn[image::2]
        assert np.allclose(own.mean(0), posteriors.mean[image], atol=0.05)
        assert np.allclose(own.std(0), posteriors.deviation[image], rtol=0.03)


def test_a_known_mixture_is_recovered() -> None:
    """Weights, means and covariances: the lumps' own plus the posteriors' noise."""
    mixture, tried = fit_mixture(three_lumps(3000, 0), three_lumps(500, 1), config(), 0)
    assert tried["chosen"] == 3 and tried["axes"] == 2 and tried["latent_dim"] == 6
    order = np.argsort(-mixture.weights)
    assert np.allclose(mixture.weights[order], [0.5, 0.3, 0.2], atol=0.03)
    padded = np.concatenate([mixture.means, np.zeros((3, 4))], axis=1)
    centres = mixture.axes.to_codes(padded)[order]
    assert np.allclose(centres[:, :2], [[4, 0], [-4, 0], [0, 5]], atol=0.15)
    assert np.allclose(centres[:, 2:], 0, atol=1e-9)
    expected = np.diag([0.25 + 0.36] * 2 + [0.36] * 4)
    assert np.allclose(covariances(mixture), expected, atol=0.09)


def test_the_likelihoods_are_those_of_the_density_in_the_latent_space() -> None:
    """Against SciPy's normal densities with the full covariances."""
    train, validation = three_lumps(400, 0), three_lumps(90, 1)
    mixture, tried = fit_mixture(train, validation, config(), 0)
    padded = np.zeros((len(mixture.weights), 6))
    padded[:, : mixture.means.shape[1]] = mixture.means
    centres = mixture.axes.to_codes(padded)
    for name, set_ in (("train", train), ("validation", validation)):
        points = draws(set_, 3000, generator(0, f"mixture {name}"))
        density = sum(
            weight * multivariate_normal(centre, covariance).pdf(points)
            for weight, centre, covariance in zip(
                mixture.weights, centres, covariances(mixture), strict=True
            )
        )
        assert tried["candidates"][1][name] == pytest.approx(np.log(density).mean())


def test_samples_have_the_moments_of_the_density() -> None:
    mixture, _ = fit_mixture(three_lumps(400, 0), three_lumps(90, 1), config(), 0)
    drawn = mixture.sample(60000, generator(0, "samples")).double().numpy()
    assert drawn.shape == (60000, 6)
    padded = np.zeros((3, 6))
    padded[:, : mixture.means.shape[1]] = mixture.means
    centres, weights = mixture.axes.to_codes(padded), mixture.weights
    mean = weights @ centres
    outer = np.einsum("k,ki,kj->ij", weights, centres - mean, centres - mean)
    covariance = np.einsum("k,kij->ij", weights, covariances(mixture)) + outer
    assert np.allclose(drawn.mean(0), mean, atol=0.05)
    assert np.allclose(np.cov(drawn.T), covariance, atol=0.2)


def test_one_gaussian_is_chosen_where_the_codes_are_one() -> None:
    """More components fit the training images better, and images they have not seen worse."""

    def lump(count: int, seed: int) -> Codes:
        return codes(np.random.default_rng(seed).normal(size=(count, 8)), 0.1)

    _, tried = fit_mixture(lump(150, 0), lump(400, 1), config(components=[1, 8]), 0)
    one, eight = tried["candidates"]
    assert tried["chosen"] == 1
    assert eight["train"] > one["train"] and eight["validation"] < one["validation"]


def test_where_the_codes_follow_the_prior_the_mixture_is_the_prior() -> None:
    """A collapsed posterior is N(0, I) for every image."""
    flat = codes(np.zeros((300, 5)), 1.0)
    mixture, tried = fit_mixture(flat, flat, config(components=[1], draws=20000), 0)
    assert tried["axes"] == 1
    assert np.allclose(covariances(mixture)[0], np.eye(5), atol=0.05)


def test_too_few_images_leave_candidates_out_and_say_why() -> None:
    few = three_lumps(12, 0)
    mixture, tried = fit_mixture(few, few, config(components=[1, 10]), 0)
    assert tried["chosen"] == 1 and "12 images" in tried["candidates"][1]["left_out"]
    assert torch.isfinite(mixture.sample(50, generator(0, "x"))).all()
    _, tried = fit_mixture(few, few, config(components=[1, 3], draws=7), 0)
    assert "7 draws" in tried["candidates"][1]["left_out"]


def test_no_candidate_at_all_is_an_error_that_says_what_to_do() -> None:
    few = three_lumps(12, 0)
    with pytest.raises(UserError, match="add 1 to the list") as caught:
        fit_mixture(few, few, config(components=[10]), 0)
    assert caught.value.where == "sample.mixture.components"


def test_many_dimensions_and_few_images_are_no_trouble() -> None:
    random = np.random.default_rng(0)
    wide = codes(random.normal(size=(40, 128)), 0.5)
    mixture, tried = fit_mixture(wide, wide, config(components=[1, 2], axes=16), 0)
    assert tried["axes"] == 16
    assert torch.isfinite(mixture.sample(10, generator(0, "x"))).all()


def test_the_fit_is_a_function_of_codes_and_seed() -> None:
    train, validation = three_lumps(300, 0), three_lumps(90, 1)
    first, other = (
        fit_mixture(train, validation, config(), seed)[0].sample(20, generator(0, "x"))
        for seed in (0, 1)
    )
    again = fit_mixture(train, validation, config(), 0)[0].sample(20, generator(0, "x"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_fit_cut_short_says_so_and_warns_nobody() -> None:
    _, tried = fit_mixture(
        three_lumps(300, 0), three_lumps(90, 1), config(components=[2], iterations=1), 0
    )
    assert tried["candidates"][0]["converged"] is False
