"""The controller holds the share of the KL in a model whose optimum is known."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.objective.objective import LARGEST_CHANGE, LEAST, next_beta


def share_of_linear_vae(beta: float, variances: torch.Tensor) -> float:
    """beta * KL over SSE + beta * KL at the optimum of a linear VAE (Lucas et al. 2019).

    With principal components of variance v, weight beta against the squared error and noise
    variance beta / 2: those with v > beta / 2 carry log(2 v / beta) / 2 nats and leave beta / 2.
    What lies outside the components, here 5, is left whatever beta is.
    """
    carried = variances > beta / 2
    kl = 0.5 * torch.log(2 * variances / beta)[carried].sum()
    error = torch.where(carried, torch.tensor(beta / 2), variances).sum() + 5.0
    return float(beta * kl / (error + beta * kl))


def settled(target: float) -> tuple[float, float]:
    """beta and the share of the KL after many updates, up to beta 10."""
    variances, largest = 10.0 * torch.arange(1, 33).float() ** -1.5, torch.tensor(10.0)
    beta = LEAST * largest
    for _ in range(2000):
        share = torch.tensor(share_of_linear_vae(float(beta), variances))
        beta = next_beta(beta, share, target, largest)
    return float(beta), share_of_linear_vae(float(beta), variances)


@pytest.mark.parametrize("target", [0.03, 0.08, 0.2])
def test_it_holds_the_target_at_the_lower_of_the_betas_that_have_it(target: float) -> None:
    beta, share = settled(target)
    assert share == pytest.approx(target, rel=0.05)
    assert beta < 0.1, "the same shares are had above 3 too, where most of the code is lost"


def test_a_share_that_no_beta_has_ends_at_the_largest() -> None:
    assert settled(0.5)[0] == 10


@given(st.floats(1e-4, 1), st.floats(0, 1), st.floats(0.01, 0.99))
def test_it_moves_the_right_way_slowly_and_within_its_bounds(
    beta: float, share: float, target: float
) -> None:
    largest = torch.tensor(1.0)
    now = float(next_beta(torch.tensor(beta), torch.tensor(share), target, largest))
    slack = 1 + 1e-5
    assert beta / LARGEST_CHANGE / slack <= now <= min(1.0, beta * LARGEST_CHANGE) * slack
    if share > target:
        assert now <= beta * slack
    else:
        assert now >= beta / slack


def test_it_follows_a_bound_that_rises_from_nothing() -> None:
    beta = torch.tensor(1e-4)
    for largest in (0.0, 0.1, 1.0):
        beta = next_beta(beta, torch.tensor(1e-9), 0.5, torch.tensor(largest))
        assert LEAST * largest * 0.999 <= float(beta) <= largest
    assert float(beta) > 0
