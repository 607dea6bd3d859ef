"""A controller of beta that holds the share of the KL in the loss."""

from __future__ import annotations

import torch
from torch import Tensor

from sharpvae import processes

RATE = 0.05  # of the way, on the logarithm of beta, from the share to its target, an update
LARGEST_CHANGE = 1.05  # an update: slower than the KL answers, or the two would swing
LEAST = 1e-4  # of the largest beta: where the controller begins, and how low it goes


def share_of_kl(regularisation: Tensor, loss: Tensor) -> Tensor:
    """beta * KL over the whole loss, over the batch of all processes; 0 of a loss of 0.

    Args:
        regularisation, loss: means over this process's part of the batch, scalars.

    Returns:
        A scalar without gradient, on their device.
    """
    share = processes.mean(regularisation.detach()) / processes.mean(loss.detach())
    return torch.nan_to_num(share)


def next_beta(beta: Tensor, kl_share: Tensor, target: float, largest: Tensor) -> Tensor:
    """The beta of the next update.

    beta * (target / share)^RATE, at most LARGEST_CHANGE up or down, within [LEAST, 1] * largest.
    It comes to the target from below, because the share is not monotonic in beta: it grows with
    beta while the posterior pays for what it carries, and falls to nothing where it collapses.

    Args:
        beta: of the last update, > 0.
        kl_share: beta * KL over the whole loss at the last update.
        target: share to hold, in (0, 1).
        largest: beta never grows above it, > 0.

    Returns:
        A tensor as `beta`, on its device; nothing here waits for the host.
    """
    step = (target / kl_share.clamp(min=1e-12)) ** RATE
    step = step.clamp(1 / LARGEST_CHANGE, LARGEST_CHANGE)
    return torch.minimum(torch.maximum(beta * step, LEAST * largest), largest)
