"""The flow of the codes: its density is one, it goes both ways, and it says when it gives up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sharpvae.core.seeds import generator, global_seed
from sharpvae.sampling.codes import Codes, draws
from sharpvae.sampling.config import FlowConfig, MixtureConfig
from sharpvae.sampling.flow import Flow, Velocity, carried, density, fit_flow, gaussian

MIXTURE = MixtureConfig.model_validate(
    {"components": [1], "draws": 1500, "signal": 0.1, "axes": 8, "iterations": 9}
)


def config(**changes: int) -> FlowConfig:
    return FlowConfig.model_validate({"steps": 600, "width": 48, "batch_size": 128} | changes)


def codes(means: np.ndarray, noise: float = 0.3, labels: np.ndarray | None = None) -> Codes:
    return Codes(means, np.full(means.shape, noise), labels)


def ring(count: int, seed: int, dimensions: int = 5) -> Codes:
    """Means on a circle of radius 3 in two dimensions; the label says on which half."""
    angle = np.random.default_rng(seed).uniform(0, 2 * np.pi, count)
    means = np.zeros((count, dimensions))
    means[:, 0], means[:, 1] = 3 * np.cos(angle), 3 * np.sin(angle)
    return codes(means, labels=(angle > np.pi).astype(np.int64))


def velocity(axes: int, classes: int = 0, scale: float = 0.5) -> Velocity:
    with global_seed(0, "test"):
        made = Velocity(axes, classes, 16)
    for weight in made.parameters():
        weight.data *= scale
    return made.requires_grad_(False)


@pytest.fixture(scope="module")
def fitted() -> tuple[Flow, dict]:
    return fit_flow(ring(1500, 0), ring(400, 1), config(steps=1500), MIXTURE, 0, 0)


def test_the_divergence_is_the_trace_of_the_jacobian() -> None:
    network, x = velocity(4, 3), torch.randn(6, 4, generator=generator(0, "x"))
    time, labels = torch.linspace(0, 1, 6), torch.tensor([0, 1, 2, 0, 1, 2])
    flow, divergence = network.with_divergence(x, time, labels)
    assert torch.allclose(flow, network(x, time, labels), atol=1e-6)
    for index in range(6):
        one = slice(index, index + 1)
        jacobian = torch.autograd.functional.jacobian(
            lambda point, one=one: network(point, time[one], labels[one]).sum(0), x[one]
        )
        assert divergence[index] == pytest.approx(float(jacobian[:, 0].trace()), abs=1e-5)


def test_what_is_carried_there_comes_back() -> None:
    network, x = velocity(3, scale=0.8), torch.randn(50, 3, generator=generator(0, "x"))
    there = carried(network, x, None)
    assert (there - x).abs().max() > 0.3
    assert torch.allclose(carried(network, there, None, backwards=True), x, atol=2e-3)


def test_the_density_adds_up_to_one() -> None:
    """Of any velocity, on a grid that holds all of the mass."""
    side = torch.linspace(-7, 7, 141)
    grid = torch.cartesian_prod(side, side)
    for scale in (0.4, 0.8):
        total = density(velocity(2, scale=scale), grid, None).double().exp().sum() * 0.1**2
        assert total == pytest.approx(1, abs=5e-3)


def test_without_a_flow_the_density_is_the_gaussians() -> None:
    x = torch.randn(9, 4, generator=generator(0, "x"))
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1)
    assert torch.allclose(gaussian(x), expected, atol=1e-5)
    still = velocity(4, scale=0.0)
    assert torch.allclose(density(still, x, None), expected, atol=1e-5)


def test_a_ring_is_learned_that_no_gaussian_has(fitted: tuple[Flow, dict]) -> None:
    flow, told = fitted
    assert told["axes"] == 2 and told["one_gaussian"] is None
    points = draws(ring(400, 1), 400, generator(0, "points"))
    one = Flow(flow.axes, flow.strong).log_density(points)
    assert flow.log_density(points) > one + 0.5
    drawn = flow.sample(2000, generator(0, "samples")).double().numpy()
    radius = np.hypot(drawn[:, 0], drawn[:, 1])
    assert np.median(radius) == pytest.approx(3, abs=0.2)
    assert (radius < 1.5).mean() < 0.03, "the middle is empty"
    assert drawn[:, 2:].std(0) == pytest.approx(0.3, abs=0.03)


def test_the_density_in_the_latent_space_is_known(fitted: tuple[Flow, dict]) -> None:
    """Near the best that there is: minus the entropy of the ring, by numerical integration."""
    flow, _ = fitted
    points = draws(ring(400, 2), 1500, generator(0, "more"))
    angle = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    centres = 3 * np.stack([np.cos(angle), np.sin(angle)], 1)
    squares = np.square(points[:, None, :2] - centres).sum(2) / 0.3**2
    ring_density = np.log(np.exp(-squares / 2).mean(1) / (2 * np.pi * 0.3**2))
    rest = np.square(points[:, 2:]) / 0.3**2 + np.log(2 * np.pi * 0.3**2)
    best = float((ring_density - 0.5 * rest.sum(1)).mean())
    assert best - 0.25 < flow.log_density(points) < best + 0.02


def test_a_class_is_drawn_that_is_asked_for() -> None:
    flow, _ = fit_flow(ring(1500, 0), ring(400, 1), config(steps=1500), MIXTURE, 2, 0)
    asked = torch.arange(1000) % 2
    drawn = flow.sample(1000, generator(0, "samples"), asked)
    lower = drawn[:, 1] < 0
    assert (lower == (asked == 1)).float().mean() > 0.93
    with pytest.raises(ValueError, match="needs the classes"):
        flow.sample(5, generator(0, "samples"))


def test_one_axis_is_enough() -> None:
    random = np.random.default_rng(0)
    means = np.zeros((800, 3))
    means[:, 1] = np.where(random.random(800) < 0.5, -2, 2)
    flow, told = fit_flow(codes(means), codes(means[:200]), config(), MIXTURE, 0, 0)
    assert told["axes"] == 1 and told["one_gaussian"] is None
    drawn = flow.sample(1000, generator(0, "samples"))
    assert (drawn[:, 1].abs() < 0.7).float().mean() < 0.1


def test_collapsed_codes_are_one_gaussian_in_words() -> None:
    flat = codes(np.zeros((300, 4)), 1.0)
    flow, told = fit_flow(flat, flat, config(), MIXTURE, 0, 0)
    assert flow.velocity is None and told["axes"] == 0
    assert "no axis" in told["one_gaussian"]
    drawn = flow.sample(4000, generator(0, "samples"))
    assert drawn.std(0).numpy() == pytest.approx(1, abs=0.05)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(drawn).sum(1).mean()
    assert flow.log_density(drawn.double().numpy()) == pytest.approx(float(expected), abs=1e-3)


def test_few_images_are_one_gaussian_in_words() -> None:
    flow, told = fit_flow(ring(60, 0), ring(20, 1), config(), MIXTURE, 0, 0)
    assert flow.velocity is None and "60 images" in told["one_gaussian"]


def test_a_flow_that_is_worse_than_a_gaussian_is_not_used() -> None:
    """Five steps learn nothing."""
    lump = codes(np.random.default_rng(0).normal(size=(500, 3)) * 2)
    flow, told = fit_flow(lump, lump, config(steps=5), MIXTURE, 0, 0)
    assert flow.velocity is None and "one Gaussian has" in told["one_gaussian"]


def test_the_same_seed_draws_the_same_codes() -> None:
    flows = [fit_flow(ring(200, 0), ring(50, 1), config(steps=20), MIXTURE, 0, 7) for _ in "ab"]
    assert flows[0][1] == flows[1][1]
    a, b = (flow.sample(20, generator(1, "x")) for flow, _ in flows)
    assert torch.equal(a, b)
    more = flows[0][0].sample(20, generator(1, "x"))
    assert torch.equal(a, more)
