"""The Gaussian of the aggregate posterior: its moments, its draws, what it was before."""

from __future__ import annotations

import math

import torch

from sharpvae.core.seeds import generator
from sharpvae.training.contest import AggregatePosterior

CPU = torch.device("cpu")


def noise(count: int, dimensions: int, purpose: str = "noise") -> torch.Tensor:
    return torch.randn(count, dimensions, generator=generator(0, purpose))


def test_before_the_first_update_it_is_the_prior() -> None:
    drawn = AggregatePosterior(3, CPU).draw(noise(9, 3))
    assert torch.allclose(drawn, noise(9, 3), atol=1e-3)


def test_its_draws_have_the_moments_of_all_codes() -> None:
    """Means spread along one direction; the posteriors' own variance is added to theirs."""
    one, direction = AggregatePosterior(4, CPU), torch.tensor([2.0, -1.0, 0.0, 1.0])
    for step in range(60):
        shares = torch.randn(64, 1, generator=generator(step, "shares"))
        one.update(1 + shares * direction, torch.full((64, 4), math.log(0.25)))
    drawn = one.draw(noise(40_000, 4))
    expected = torch.outer(direction, direction) + 0.25 * torch.eye(4)
    assert torch.allclose(drawn.mean(0), torch.ones(4), atol=0.1)
    assert torch.allclose(drawn.T.cov(), expected, atol=0.25)


def test_it_follows_codes_that_move() -> None:
    one = AggregatePosterior(2, CPU)
    for centre in (-3.0, 5.0):
        for _ in range(800):
            one.update(torch.full((8, 2), centre), torch.zeros(8, 2))
    assert torch.allclose(one.draw(noise(2000, 2)).mean(0), torch.full((2,), 5.0), atol=0.2)


def test_codes_that_are_all_alike_can_be_drawn() -> None:
    one = AggregatePosterior(3, CPU)
    one.update(torch.ones(5, 3), torch.full((5, 3), -40.0))
    assert torch.isfinite(one.draw(noise(9, 3))).all()


def test_it_resumes_where_it_was() -> None:
    one, other = AggregatePosterior(3, CPU), AggregatePosterior(3, CPU)
    one.update(noise(9, 3, "means"), torch.zeros(9, 3))
    other.load_state_dict(one.state_dict())
    for each in (one, other):
        each.update(noise(9, 3, "more"), torch.zeros(9, 3))
    assert torch.equal(one.draw(noise(9, 3)), other.draw(noise(9, 3)))
