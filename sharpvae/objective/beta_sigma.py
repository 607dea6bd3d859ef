"""One scale for every VAE objective.

Up to a constant factor an objective with a squared error reads

    SSE (summed over all D pixels and channels)  +  beta_sigma * KL (summed over latent dims)

For a Gaussian decoder of variance s^2 the ELBO has beta_sigma = 2 * s^2. Projects hide it behind
means and multipliers; 2000 * mean-MSE + KL, say, has beta_sigma = D / 2000.
"""

from __future__ import annotations

from sharpvae.config.loss_schema import LossConfig


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
