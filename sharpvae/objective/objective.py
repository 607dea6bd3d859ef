"""The loss of a VAE: its terms, weighted; its scale; the controller of beta."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sharpvae.distributed import processes
from sharpvae.objective.config import LossConfig
from sharpvae.objective.schedules import Span, fraction_of_full
from sharpvae.objective.terms import (
    absolute_error,
    cross_entropy,
    frequency_error,
    gaussian_nll,
    kl_per_dimension,
    spared_kl,
    squared_error,
)


def beta_sigma(
    loss: LossConfig,
    pixels: int,
    latent_dim: int,
    squared_error: float | None = None,
    beta: float | None = None,
) -> float | None:
    """The weight of the summed KL against the summed squared error.

    Args:
        loss: the `loss` section.
        pixels: D = height * width * channels.
        latent_dim: Z; counts where the KL is averaged over dimensions.
        squared_error: SSE of an image as trained, which decides the decoder's variance under
            `weights.gaussian`; None while it is not known.
        beta: what a controller (`kl_share`) made of it; None while it is not known, or where there
            is none.

    Returns:
        beta_sigma, or None for an objective without a squared error, or whose is not known yet.
    """
    if loss.kl_share > 0 and beta is None:
        return None
    weight = loss.weights.mse
    if loss.weights.gaussian > 0:
        if not squared_error:
            return None
        weight += loss.weights.gaussian * pixels / (2 * squared_error)
    if weight == 0:
        return None
    per_pixel = pixels if loss.reduction == "mean" else 1
    per_dimension = latent_dim if loss.kl_reduction == "mean" else 1
    beta = loss.beta if beta is None else beta
    return beta / per_dimension * per_pixel / (loss.reconstruction_weight * weight)


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


_ALWAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": squared_error,
    "l1": absolute_error,
}
_ON_DEMAND: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce": cross_entropy,
    "gaussian": gaussian_nll,
    "frequency": frequency_error,
}


class Objective(nn.Module):
    """reconstruction_weight * sum_i(w_i * term_i) / n + beta * KL / m, per image.

    n is 1 for `reduction: sum` and D = height * width * channels for `mean`; m is 1 for
    `kl_reduction: sum` and the number of latent dimensions for `mean`. The adversarial term, which
    needs a discriminator that learns, is `training.adversary`'s; its weight is known here.

    Args:
        loss: the `loss` section.
        pixels: D.
        latent_dim: number of latent dimensions.
        span: of the training, for the schedules.
        perceptual: needed when `loss.weights.perceptual` is above 0.
        lpips: needed when `loss.weights.lpips` is above 0.
    """

    def __init__(
        self,
        loss: LossConfig,
        pixels: int,
        latent_dim: int,
        span: Span,
        perceptual: nn.Module | None,
        lpips: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if loss.weights.perceptual > 0 and perceptual is None:
            raise ValueError("loss.weights.perceptual is above 0, but no network was given")
        if loss.weights.lpips > 0 and lpips is None:
            raise ValueError("loss.weights.lpips is above 0, but no network was given")
        self.loss, self.span = loss, span
        self.perceptual = perceptual if loss.weights.perceptual > 0 else None
        self.lpips = lpips if loss.weights.lpips > 0 else None
        self.per_pixel = pixels if loss.reduction == "mean" else 1
        self.per_dimension = latent_dim if loss.kl_reduction == "mean" else 1
        self.spares_kl = loss.free_bits > 0 or loss.kl_floor > 0

    def beta(self, step: int | None = None) -> float:
        """beta at `step` (updates done so far), as scheduled; None: its final value."""
        return self.loss.beta * self._scheduled("beta", step)

    def weight(self, term: str, step: int | None = None) -> float:
        """What multiplies a reconstruction term in the total at `step`; None: in the end."""
        weight: float = getattr(self.loss.weights, term)
        if term in ("perceptual", "adversarial"):
            weight *= self._scheduled(term, step)
        if term == "adversarial" and self.loss.adversarial.adaptive:
            return weight  # of a ratio of gradients, which already knows the scale
        return weight * self.loss.reconstruction_weight / self.per_pixel

    def terms(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, log_var: Tensor
    ) -> dict[str, Tensor]:
        """Every term, unweighted and summed over its elements, so that variants compare.

        Args:
            images, reconstructions: float32 (B, C, H, W) in [0, 1].
            mean, log_var: of the posterior, (B, Z).

        Returns:
            mse, l1 and kl, with whichever others are in use, (B,) each; `spared_kl` stands in for
            kl in the total where some of it is free.
        """
        terms = {name: term(images, reconstructions) for name, term in _ALWAYS.items()}
        for name, term in _ON_DEMAND.items():
            if getattr(self.loss.weights, name) > 0:
                terms[name] = term(images, reconstructions)
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(images, reconstructions)
        if self.lpips is not None:
            terms["lpips"] = self.lpips(images, reconstructions)
        per_dimension = kl_per_dimension(mean, log_var)
        terms["kl"] = per_dimension.sum(1)
        if self.spares_kl:
            free_bits, floor = self.loss.free_bits, self.loss.kl_floor
            terms["spared_kl"] = spared_kl(per_dimension, free_bits, floor)
        return terms

    def reconstruction(self, terms: dict[str, Tensor], step: int | None = None) -> Tensor:
        """The weighted sum of the reconstruction terms at `step`.  (B,) each => (B,)"""
        total: Tensor | None = None
        for name in terms:
            if name in ("kl", "spared_kl", "adversarial"):
                continue
            weight = self.weight(name, step)
            if weight > 0:
                total = weight * terms[name] + (0 if total is None else total)
        if total is None:  # while the only term waits for its schedule
            return 0 * terms["mse"]
        return total

    def regularisation(self, terms: dict[str, Tensor], beta: float | Tensor) -> Tensor:
        """The weighted KL, what is free of it left out.  (B,) each => (B,)"""
        return beta / self.per_dimension * terms["spared_kl" if self.spares_kl else "kl"]

    def total(
        self, terms: dict[str, Tensor], beta: float | Tensor, step: int | None = None
    ) -> Tensor:
        """The weighted sum of `terms` but the adversarial one.  (B,) each => (B,)"""
        return self.reconstruction(terms, step) + self.regularisation(terms, beta)

    def _scheduled(self, term: str, step: int | None) -> float:
        if step is None:
            return 1.0
        return fraction_of_full(getattr(self.loss.schedules, term), step, self.span)
