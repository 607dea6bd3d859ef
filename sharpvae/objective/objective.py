"""The loss of a VAE: its terms, weighted; its scale; the controller of beta."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sharpvae.distributed import processes
from sharpvae.objective.config import LossConfig, LossWeights
from sharpvae.objective.schedules import Span, fraction_of_full
from sharpvae.objective.terms import ALWAYS, TERMS, spared_kl
from sharpvae.vae.vae import kl_per_dimension


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
        beta: as a controller (`kl_share`) set it; None without one, or before it is known.

    Returns:
        beta_sigma; None for an objective without a squared error, or before it is known.
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


def squared_share(loss: LossConfig, terms: Mapping[str, float]) -> float | None:
    """The squared error's share of the whole weighted reconstruction.

    beta_sigma times it is what the KL is weighted by against all that the decoder is trained on.

    Args:
        loss: the `loss` section.
        terms: the value of each term, as trained, an image.

    Returns:
        In [0, 1]; None for likelihoods (`gaussian`, `bce`), whose values have no zero, and for a
        reconstruction that is perfect.
    """
    if loss.weights.gaussian > 0 or loss.weights.bce > 0:
        return None
    weights = loss.weights.model_dump(exclude={"adversarial"})
    parts = {name: weight * terms[name] for name, weight in weights.items() if weight > 0}
    whole = sum(parts.values())
    return parts.get("mse", 0.0) / whole if whole > 0 else None


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
    kl, whole = (processes.all_reduce_mean(t.detach()) for t in (regularisation, loss))
    return torch.nan_to_num(kl / whole)


def next_beta(beta: Tensor, kl_share: Tensor, target: float, largest: Tensor) -> Tensor:
    """The beta of the next update.

    beta * (target / share)^RATE, at most LARGEST_CHANGE up or down, within [LEAST, 1] * largest.
    It approaches from below: the share grows with beta, but falls to 0 where the posterior
    collapses.

    Args:
        beta: of the last update, > 0.
        kl_share: beta * KL over the whole loss at the last update.
        target: share to hold, in (0, 1).
        largest: beta never grows above it, > 0.

    Returns:
        A tensor as `beta`, on its device.
    """
    step = (target / kl_share.clamp(min=1e-12)) ** RATE
    step = step.clamp(1 / LARGEST_CHANGE, LARGEST_CHANGE)
    return torch.minimum(torch.maximum(beta * step, LEAST * largest), largest)


# Of all weights. The terms of the discriminator, which learns, are added in training: `adversarial`
# to the loss, and `matching` to the terms of the reconstruction.
_RECONSTRUCTION = set(LossWeights.model_fields) - {"adversarial"}


class Objective(nn.Module):
    """reconstruction_weight * sum_i(w_i * term_i) / n + beta * KL / m, per image.

    n is 1 for `reduction: sum` and D = height * width * channels for `mean`; m is 1 for
    `kl_reduction: sum` and the number of latent dimensions for `mean`.

    Args:
        loss: the `loss` section.
        pixels: D.
        latent_dim: number of latent dimensions.
        span: of the training, for the schedules.
        perceptual, lpips: needed when their weight in `loss.weights` is above 0.
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
        for name, network in (("perceptual", perceptual), ("lpips", lpips)):
            if getattr(loss.weights, name) > 0 and network is None:
                raise ValueError(f"loss.weights.{name} is above 0, but no network was given")
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
        weight: float = getattr(self.loss.weights, term) * self._scheduled(term, step)
        if term == "adversarial" and self.loss.adversarial.adaptive:
            return weight  # of a ratio of gradients, which already knows the scale
        return weight * self.loss.reconstruction_weight / self.per_pixel

    def terms(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, log_var: Tensor
    ) -> dict[str, Tensor]:
        """Every term, unweighted and summed over its elements.

        Args:
            images, reconstructions: float32 (B, C, H, W) in [0, 1].
            mean, log_var: of the posterior, (B, Z).

        Returns:
            mse, l1, kl and those in use, (B,) each; `spared_kl` replaces kl in the total where
            some of it is free.
        """
        functions = {**TERMS, "perceptual": self.perceptual, "lpips": self.lpips}
        terms: dict[str, Tensor] = {
            name: function(images, reconstructions)
            for name, function in functions.items()
            if function is not None and (name in ALWAYS or getattr(self.loss.weights, name) > 0)
        }
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
            weight = self.weight(name, step) if name in _RECONSTRUCTION else 0
            if weight > 0:
                total = weight * terms[name] + (0 if total is None else total)
        if total is None:  # before the schedule of the only term starts
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
        # Features are matched from when the discriminator begins to learn them.
        name = "adversarial" if term == "matching" else term
        schedule = getattr(self.loss.schedules, name, None)
        if step is None or schedule is None:
            return 1.0
        return fraction_of_full(schedule, step, self.span)
