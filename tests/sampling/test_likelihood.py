"""log p(x) against mathematics: closed forms, quadrature, and what it must not depend on."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch import Tensor, nn

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import global_seed
from sharpvae.images.feed import Feed
from sharpvae.images.packed import Split
from sharpvae.sampling.likelihood import (
    SCORED,
    Estimates,
    best_variance,
    log_likelihoods,
    measure,
    refuse_grey,
)
from sharpvae.vae.vae import VAE, Posterior
from tests.feeds import feed_of

SIDE, LATENT, VARIANCE = 4, 3, 0.005
PIXELS = SIDE * SIDE


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def images(count: int, levels: int = 256) -> Tensor:
    drawn = torch.randint(
        levels, (count, 1, SIDE, SIDE), generator=torch.Generator().manual_seed(1)
    )
    return (drawn * (255 // (levels - 1))).to(torch.uint8)


class Pca(nn.Module):
    """p(x|z) = N(W z + b, VARIANCE); q(z|x) is the true posterior of each z but for `shift`.

    The columns of W are orthogonal, so that the true posterior has a diagonal covariance.
    """

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        columns, _ = torch.linalg.qr(random(PIXELS, LATENT).double())
        self.weight = columns * torch.tensor([0.5, 0.3, 0.1])
        self.bias, self.shift, self.latent_dim = torch.full((PIXELS,), 0.5), shift, LATENT

    def encoder(self, batch: Tensor, labels: Tensor | None = None) -> Posterior:
        precision = self.weight.square().sum(0) / VARIANCE + 1
        centred = batch.flatten(1).double() - self.bias
        mean = centred @ self.weight / VARIANCE / precision
        return Posterior(mean + self.shift * precision.rsqrt(), -precision.log().expand_as(mean))

    def decoder(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        flat = codes.double() @ self.weight.T + self.bias
        return flat.float().reshape(-1, 1, SIDE, SIDE)

    def log_p(self, batch: Tensor) -> np.ndarray:
        covariance = self.weight @ self.weight.T + VARIANCE * torch.eye(PIXELS, dtype=torch.float64)
        flat = batch.flatten(1).numpy() / 255
        return np.asarray(multivariate_normal(self.bias.numpy(), covariance.numpy()).logpdf(flat))


class Coins(nn.Module):
    """p(x|z) of coins, sigmoid(W z + b), with a wide posterior at 0."""

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.weight, self.bias = 0.8 * random(PIXELS, latent, seed=2), random(PIXELS, seed=3)
        self.latent_dim = latent

    def encoder(self, batch: Tensor, labels: Tensor | None = None) -> Posterior:
        zero = torch.zeros(len(batch), self.latent_dim)
        return Posterior(zero, zero)

    def decoder(self, codes: Tensor, labels: Tensor | None = None) -> Tensor:
        return torch.sigmoid(codes @ self.weight.T + self.bias).reshape(-1, 1, SIDE, SIDE)

    def log_p(self, batch: Tensor) -> np.ndarray:
        """By the trapezoidal rule on a grid of 401 points a dimension."""
        line = torch.linspace(-8, 8, 401, dtype=torch.float64)
        grid = torch.cartesian_prod(*[line] * self.latent_dim).reshape(-1, self.latent_dim)
        logits = grid @ self.weight.double().T + self.bias.double()
        x = batch.flatten(1).double() / 255
        of_pixels = x @ logits.T - nn.functional.softplus(logits).sum(1)
        prior = -0.5 * (grid.square() + math.log(2 * math.pi)).sum(1)
        volume = self.latent_dim * math.log(16 / 400)
        return np.asarray(torch.logsumexp(of_pixels + prior, 1) + volume)


def estimated(
    vae: nn.Module, of: Tensor, variance: float | None, samples: int, rows: int = 250, seed: int = 0
) -> Estimates:
    return log_likelihoods(vae, feed_of(of), variance, samples, rows, seed, "test")


def test_the_true_posterior_gives_the_exact_likelihood_from_one_sample() -> None:
    of, vae = images(7), Pca()
    for samples in (1, 20):
        found = estimated(vae, of, VARIANCE, samples)
        assert found.log_p.dtype == np.float64
        assert found.log_p == pytest.approx(vae.log_p(of), abs=2e-3)
        assert found.elbo == pytest.approx(found.log_p, abs=2e-3)


def test_another_posterior_converges_to_it_from_below_and_beats_the_elbo() -> None:
    of, vae = images(20), Pca(shift=1.0)
    exact = vae.log_p(of)
    few, many = (estimated(vae, of, VARIANCE, samples) for samples in (10, 20_000))
    assert many.log_p == pytest.approx(exact, abs=0.1)
    assert many.elbo == pytest.approx(exact - LATENT / 2, abs=0.1), "KL(q || p(z|x)) below"
    assert exact.mean() - 1.5 < few.log_p.mean() < many.log_p.mean() + 0.05
    assert (few.log_p >= few.elbo).all()


@pytest.mark.parametrize("latent", [1, 2])
def test_coins_agree_with_quadrature(latent: int) -> None:
    of, vae = images(5, levels=2), Coins(latent)
    found = estimated(vae, of, None, 1_000_000, rows=10_000)
    assert found.log_p == pytest.approx(vae.log_p(of), abs=1e-2)


def test_a_pixel_that_cannot_be_is_no_infinity() -> None:
    """As in PyTorch's cross-entropy, -100 nats."""
    vae = Coins(1)
    vae.weight, vae.bias = torch.zeros(PIXELS, 1), torch.full((PIXELS,), 200.0)
    black = torch.zeros(1, 1, SIDE, SIDE, dtype=torch.uint8)
    assert estimated(vae, black, None, 3).log_p == pytest.approx(-100 * PIXELS)


@pytest.mark.parametrize("conditional", [False, True])
def test_rows_at_a_time_change_nothing_but_rounding(model_config, conditional: bool) -> None:
    with global_seed(0, "weights"):
        vae = VAE(model_config(conditional=conditional), 1, 16, classes=3).eval()
    of = (torch.rand(5, 1, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.3) * 255
    feed = feed_of(of.to(torch.uint8), torch.tensor([0, 1, 2, 0, 1]))
    whole, *others = (
        log_likelihoods(vae, feed, None, 30, rows, 0, "test") for rows in (1000, 30, 7, 1, 75)
    )
    for other in others:
        assert other.log_p == pytest.approx(whole.log_p, abs=1e-4)
        assert other.elbo == pytest.approx(whole.elbo, abs=1e-4)
    first = log_likelihoods(vae, feed_of(of[:1].byte(), torch.tensor([0])), None, 30, 7, 0, "test")
    assert first.log_p == pytest.approx(whole.log_p[:1], abs=1e-4), "of the image alone"


def test_the_draws_are_of_the_seed_and_the_split() -> None:
    of, vae = images(3), Pca(shift=1.0)
    one = estimated(vae, of, VARIANCE, 5)
    assert np.array_equal(one.log_p, estimated(vae, of, VARIANCE, 5).log_p)
    assert not np.array_equal(one.log_p, estimated(vae, of, VARIANCE, 5, seed=1).log_p)
    other = log_likelihoods(vae, feed_of(of), VARIANCE, 5, 250, 0, "validation")
    assert not np.array_equal(one.log_p, other.log_p)


def test_the_variance_is_the_mean_squared_error_of_posterior_draws() -> None:
    """Images of the model itself: as large as the noise they were made with, on average."""
    vae = Pca()
    clean = vae.decoder(random(3000, LATENT, seed=5))
    noisy = clean + VARIANCE**0.5 * random(3000, 1, SIDE, SIDE, seed=6)
    packed = (noisy * 255).round().clamp(0, 255).to(torch.uint8)
    found = best_variance(vae, feed_of(packed), 250, 0)
    assert found == pytest.approx(VARIANCE, rel=0.02)
    assert best_variance(vae, feed_of(packed), 7, 0) == pytest.approx(found, rel=1e-5)


def write(directory: Path, kind: str, samples: int) -> tuple[str | None, dict[str, object]]:
    of = images(12)
    feeds: dict[str, Feed] = {name: feed_of(of) for name in ("train", *SCORED)}
    why = measure(directory, Pca(), feeds, kind, samples, 50, 0)
    return why, json.loads((directory / "likelihood.json").read_text())


def test_the_variance_stands_beside_the_result(tmp_path: Path) -> None:
    why, told = write(tmp_path, "gaussian", 4)
    assert why is None and told["left_out"] is None and told["likelihood"] == "gaussian"
    assert told["samples"] == 4 and told["variance"] > 0
    with np.load(tmp_path / "likelihood.npz") as arrays:
        assert set(arrays) == {"test", "test_elbo", "validation", "validation_elbo"}
        assert all(arrays[name].shape == (12,) for name in arrays)


@pytest.mark.parametrize(
    ("kind", "samples", "reason"),
    [("none", 4, "no likelihood of the images"), ("gaussian", 0, "samples is 0"),
     ("none", 0, "samples is 0")],
)  # fmt: skip
def test_without_a_likelihood_there_is_a_reason(
    tmp_path: Path, kind: str, samples: int, reason: str
) -> None:
    why, told = write(tmp_path, kind, samples)
    assert why is not None and reason in why and told["left_out"] == why
    assert not (tmp_path / "likelihood.npz").exists()


def test_coins_of_grey_images_are_refused() -> None:
    grey = np.zeros((3, SIDE, SIDE, 1), np.uint8)
    grey[0, 0, 0], grey[2, 1, 1] = 255, 77
    refuse_grey(Split(grey[:2], None), "test", 5000)
    with pytest.raises(UserError) as caught:
        refuse_grey(Split(grey, None), "test", 5000)
    error = caught.value
    assert error.where == "sample.likelihood.samples" and "black-and-white" in error.expected
    assert "5000" in error.found and "test images" in error.found and "77" in error.found
    assert "data.binarize=static" in error.fix
