"""The terms of the objective: per image, `[B]`, summed over pixels or latent dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpvae.distributed import processes

_LEAST_VARIANCE = math.exp(-12)  # of the decoder: a standard deviation of 0.0025, 0.6 of 255 levels


def squared_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Sum of squared pixel differences.  (B, C, H, W) twice => (B,)"""
    return (images - reconstructions).square().flatten(1).sum(1)


def absolute_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Sum of absolute pixel differences.  (B, C, H, W) twice => (B,)"""
    return (images - reconstructions).abs().flatten(1).sum(1)


def cross_entropy(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Binary cross-entropy in nats, every pixel a coin of that bias (Kingma & Welling 2014, C.1).

    Not zero for equal images unless they are black and white: the entropy of the pixels stays.
    (B, C, H, W) twice, in [0, 1] => (B,)
    """
    entropy = F.binary_cross_entropy(reconstructions, images, reduction="none")
    return entropy.flatten(1).sum(1)


def gaussian_nll(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Negative log-likelihood in nats of a Gaussian decoder with its best shared variance.

    The variance is the mean squared error of the whole batch, the optimum in closed form (Rybkin
    et al. 2021, Simple and effective VAE training with calibrated decoders), so no weight is left
    to tune. Its gradient is that of SSE / (2 variance).
    (B, C, H, W) twice => (B,)
    """
    error = squared_error(images, reconstructions)
    pixels = images[0].numel()
    mean = processes.all_reduce_mean(error.detach().mean())
    variance = (mean / pixels).clamp(min=_LEAST_VARIANCE)
    return error / (2 * variance) + 0.5 * pixels * torch.log(2 * math.pi * variance)


def frequency_error(images: Tensor, reconstructions: Tensor) -> Tensor:
    """Squared error in the Fourier domain, each frequency weighted by how wrong it is.

    The focal frequency loss (Jiang et al. 2021) with alpha 1, on the whole image, summed
    over pixels: weights w = |F - G| over the largest of the channel, in [0, 1], no gradient through
    them. With w = 1 everywhere it would be the squared error (Parseval).
    (B, C, H, W) twice => (B,)
    """
    difference = torch.fft.fft2(images, norm="ortho") - torch.fft.fft2(
        reconstructions, norm="ortho"
    )
    power = difference.real.square() + difference.imag.square()  # abs() has no gradient at 0
    size = power.detach().sqrt()
    weight = size / size.amax((2, 3), keepdim=True).clamp(min=1e-12)
    return (weight * power).flatten(1).sum(1)


def spared_kl(per_dimension: Tensor, free_bits: float, floor: float) -> Tensor:
    """The KL that is optimised where some of it is free, so that it does not go to zero.

    A dimension whose KL, averaged over the whole batch, is below `free_bits` costs exactly that
    and has no gradient (Kingma et al. 2016, Improved variational inference with inverse
    autoregressive flow). An image whose sum is then below `floor` costs `floor`, likewise.

    Args:
        per_dimension: KL in nats, (B, Z).
        free_bits: nats a dimension, >= 0.
        floor: nats an image, >= 0.

    Returns:
        (B,)
    """
    if free_bits > 0:
        used = processes.all_reduce_mean(per_dimension.detach().mean(0)) > free_bits
        per_dimension = torch.where(used, per_dimension, free_bits)
    return per_dimension.sum(1).clamp(min=floor)


# Every term that needs no network. To add one: an entry here, and its weight in `LossWeights`.
TERMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": squared_error,
    "l1": absolute_error,
    "bce": cross_entropy,
    "gaussian": gaussian_nll,
    "frequency": frequency_error,
}
ALWAYS = ("mse", "l1")  # computed whatever their weights, so that variants compare
