"""The aggregate posterior as training goes: one Gaussian over the codes of recent images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sharpvae.distributed import processes

RATE = 0.01  # the weight of the latest batch: about the last hundred count
_LEAST_VARIANCE = 1e-4  # of the largest: what a factorisation in single precision needs


class AggregatePosterior:
    """The Gaussian with the moments of q(z), the posterior averaged over the training images.

    A density fitted to the codes after training approaches q(z) too; a single Gaussian is the
    simplest such density, and fits in no time. Of each batch it takes the exact moments,
    E[mean] and E[mean mean' + diag(variance)], and averages them over updates: the first hundred
    alike, later ones with `RATE`. Before the first it is the prior N(0, I).

    All processes hold the same. Each has equally many codes of a batch.

    Args:
        latent_dim: Z.
        device: of the codes.
    """

    def __init__(self, latent_dim: int, device: torch.device) -> None:
        self.first = torch.zeros(latent_dim, device=device)  # E[z]
        self.second = torch.eye(latent_dim, device=device)  # E[z z']
        self.updates = 0

    @torch.no_grad()
    def update(self, mean: Tensor, log_var: Tensor) -> None:
        """Follow the posteriors of a batch, float32 (B, Z) twice."""
        mean, variance = mean.detach().float(), log_var.detach().float().exp()
        second = mean.T @ mean / len(mean) + torch.diag(variance.mean(0))
        self.updates += 1
        rate = max(RATE, 1 / self.updates)
        self.first = self.first.lerp(processes.all_reduce_mean(mean.mean(0)), rate)
        self.second = self.second.lerp(processes.all_reduce_mean(second), rate)

    @torch.no_grad()
    def draw(self, noise: Tensor) -> Tensor:
        """Codes of standard normal noise.  float32 (B, Z) => (B, Z), without gradient"""
        covariance = self.second - torch.outer(self.first, self.first)
        least = _LEAST_VARIANCE * covariance.diagonal().max()
        covariance.diagonal().add_(least)
        # Without a look at whether it succeeded, for which the host would wait.
        factor, _ = torch.linalg.cholesky_ex(covariance)
        return self.first + noise @ factor.T

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {"first": self.first, "second": self.second, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.first = state["first"].to(self.first.device)
        self.second = state["second"].to(self.second.device)
        self.updates = state["updates"]
