"""The training objective as configured: weighted reconstruction terms + beta * KL."""

from __future__ import annotations

from torch import Tensor, nn

from sharpvae.config.schema import LossConfig
from sharpvae.objective.schedules import linear_warmup
from sharpvae.objective.terms import absolute_error, kl_divergence, squared_error


class Objective(nn.Module):
    """reconstruction_weight * sum_i(w_i * term_i) / n + beta * KL, per image.

    n is 1 for `reduction: sum` and D = height * width * channels for `reduction: mean`.

    Args:
        loss: the `loss` section.
        perceptual: needed when `loss.weights.perceptual` is above 0.
        epoch_steps: updates an epoch, for schedules that count in epochs.
        lpips: needed when `loss.weights.lpips` is above 0.
    """

    def __init__(
        self,
        loss: LossConfig,
        perceptual: nn.Module | None,
        epoch_steps: int,
        lpips: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if loss.weights.perceptual > 0 and perceptual is None:
            raise ValueError("loss.weights.perceptual is above 0, but no network was given")
        if loss.weights.lpips > 0 and lpips is None:
            raise ValueError("loss.weights.lpips is above 0, but no network was given")
        self.loss = loss
        self.perceptual = perceptual if loss.weights.perceptual > 0 else None
        self.lpips = lpips if loss.weights.lpips > 0 else None
        self.warmup_steps = round(loss.anneal_epochs * epoch_steps)

    def beta(self, step: int) -> float:
        """beta at `step` (updates done so far)."""
        return linear_warmup(step, self.warmup_steps, self.loss.beta)

    def terms(
        self, images: Tensor, reconstructions: Tensor, mean: Tensor, log_var: Tensor
    ) -> dict[str, Tensor]:
        """Every term, unweighted and summed over its elements, so that variants compare.

        Args:
            images, reconstructions: float32 (B, C, H, W) in [0, 1].
            mean, log_var: of the posterior, (B, Z).

        Returns:
            mse, l1, kl and, where they are in use, perceptual and lpips: (B,) each.
        """
        terms = {
            "mse": squared_error(images, reconstructions),
            "l1": absolute_error(images, reconstructions),
        }
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(images, reconstructions)
        if self.lpips is not None:
            terms["lpips"] = self.lpips(images, reconstructions)
        return terms | {"kl": kl_divergence(mean, log_var)}

    def total(self, terms: dict[str, Tensor], beta: float, pixels: int) -> Tensor:
        """The weighted sum of `terms`.  (B,) each => (B,)"""
        per_pixel = pixels if self.loss.reduction == "mean" else 1
        total = beta * terms["kl"]
        for name, weight in self.loss.weights.model_dump().items():
            if weight > 0:
                scale = weight * self.loss.reconstruction_weight / per_pixel
                total = total + scale * terms[name]
        return total
