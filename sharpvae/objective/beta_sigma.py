"""One scale for every VAE objective.

Up to a constant factor an objective with a squared error reads

    SSE (summed over all D pixels and channels)  +  beta_sigma * KL (summed over latent dims)

For a Gaussian decoder of variance s^2 the ELBO has beta_sigma = 2 * s^2. Projects hide it behind
means and multipliers; 2000 * mean-MSE + KL, say, has beta_sigma = D / 2000.
"""

from __future__ import annotations

from sharpvae.config.schema import LossConfig


def beta_sigma(loss: LossConfig, pixels: int) -> float | None:
    """The weight of the summed KL against the summed squared error.

    Args:
        loss: the `loss` section.
        pixels: D = height * width * channels.

    Returns:
        beta_sigma, or None for an objective without a squared error.
    """
    if loss.weights.mse == 0:
        return None
    per_pixel = pixels if loss.reduction == "mean" else 1
    return loss.beta * per_pixel / (loss.reconstruction_weight * loss.weights.mse)
