"""Latent health by construction."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from sharpvae.scoring.measures import active_units, kl_per_dimension


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
