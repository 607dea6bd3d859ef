"""The terms of the objective. Each is per image, `[B]`, summed over pixels or latent dimensions."""

from __future__ import annotations

import torch
from torch import Tensor


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Sum of squared pixel differences.  (B, C, H, W) twice => (B,)"""
    return (images - reconstructions).square().flatten(1).sum(1)


def absolute_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Sum of absolute pixel differences.  (B, C, H, W) twice => (B,)"""
    return (images - reconstructions).abs().flatten(1).sum(1)


def kl_per_dimension(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)) in nats (Kingma & Welling 2014, appendix B).

    (B, Z) twice => (B, Z)
    """
    return 0.5 * (mean.square() + torch.exp(log_var) - 1 - log_var)


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL of the whole posterior in nats, summed over the dimensions.  (B, Z) twice => (B,)"""
    return kl_per_dimension(mean, log_var).sum(1)
