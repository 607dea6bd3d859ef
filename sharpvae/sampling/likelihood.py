"""log p(x) of images under a trained VAE, by importance sampling from its posterior.

With z_1 ... z_K from q(z|x), the mean of the weights p(x|z) p(z) / q(z|x) estimates p(x) without
bias, so that its logarithm is too low on average, never too high, and the less so the more samples
(Burda et al. 2016, Importance weighted autoencoders, section 3 and appendix A; 5000 of them there).
The mean of the logarithms, with the same samples, estimates the ELBO.

p(x|z) is what the loss maximised: `bernoulli`, each pixel a coin of the bias that the decoder
gives, in nats of a black-and-white image; or `gaussian`, of one variance for all pixels, in nats of
a density on [0, 1]^D, which may be above 1. For a conditional VAE all are given the class.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.core.seeds import generator
from sharpvae.images.feed import Batch, Feed
from sharpvae.images.packed import Split, SplitName
from sharpvae.sampling.config import Likelihood
from sharpvae.vae.vae import VAE

SCORED: tuple[SplitName, ...] = ("validation", "test")
OF_VARIANCE = 10_000  # training images that the variance is measured on, at most
NO_LIKELIHOOD = (
    "the loss is no likelihood of the images: loss.weights.bce or loss.weights.gaussian would have "
    "to be the only one above 0"
)
_LEAST_LOG = -100.0  # of a pixel's probability, as in PyTorch's binary_cross_entropy
_LEAST_VARIANCE = math.exp(-12)  # as in the loss `gaussian`


class Estimates(NamedTuple):
    """In nats, one an image."""

    log_p: NDArray[np.float64]  # (N,)
    elbo: NDArray[np.float64]  # (N,)


def refuse_grey(split: Split, name: SplitName, samples: int) -> None:
    """Raises: UserError: `split` has pixels between black and white, for which no coin stands."""
    for image in split.images:
        grey = image[(image != 0) & (image != 255)]
        if len(grey):
            raise UserError(
                "sample.likelihood.samples",
                "0, or black-and-white images: to grey ones the loss `bce` gives no density",
                f"{samples}, and {name} images with a pixel of {grey[0]} between 0 and 255",
                "set data.binarize=static, or sample.likelihood.samples=0",
            )


def measure(
    directory: Path, vae: VAE, feeds: dict[SplitName, Feed], kind: Likelihood, samples: int,
    rows: int, seed: int,
) -> str | None:  # fmt: skip
    """Write likelihood.json and, with a likelihood, likelihood.npz; return why there is none.

    Args:
        samples: K; 0: none are asked for.
        rows: codes that are decoded at a time.
    """
    left_out = NO_LIKELIHOOD if kind == "none" else None
    left_out = "sample.likelihood.samples is 0" if samples == 0 else left_out
    variance = None
    if left_out is None:
        if kind == "gaussian":
            variance = best_variance(vae, feeds["train"], rows, seed)
        arrays: dict[str, NDArray[np.float64]] = {}
        for name in SCORED:
            found = log_likelihoods(vae, feeds[name], variance, samples, rows, seed, name)
            arrays |= {name: found.log_p, f"{name}_elbo": found.elbo}
        np.savez(directory / "likelihood.npz", **arrays)  # type: ignore[arg-type]
    write_json(directory / "likelihood.json", {
        "likelihood": kind, "samples": samples, "variance": variance, "left_out": left_out,
    })  # fmt: skip
    return left_out


@torch.no_grad()
def best_variance(vae: VAE, train: Feed, rows: int, seed: int) -> float:
    """The variance of all pixels that makes training images most likely, given posterior draws.

    It is their mean squared error a pixel, as in the loss (`gaussian_nll`), where a batch has its
    own; here of one draw for each of `OF_VARIANCE` images at random.
    """
    source = generator(seed, "likelihood variance")
    positions = torch.randperm(train.count, generator=source)[:OF_VARIANCE]
    noise = torch.randn(len(positions), vae.latent_dim, generator=source)
    total = 0.0
    for chunk, own in zip(positions.split(rows), noise.split(rows), strict=True):
        batch = train.take(chunk)
        posterior = vae.encoder(batch.images, batch.labels)
        drawn = vae.decoder(posterior.sample(own.to(train.device)), batch.labels)
        total += float((drawn - batch.images).square().sum().double())
    return max(total / (len(positions) * train.pixels), _LEAST_VARIANCE)


@torch.no_grad()
def log_likelihoods(
    vae: VAE, feed: Feed, variance: float | None, samples: int, rows: int, seed: int, name: str
) -> Estimates:
    """log p(x) and the ELBO of every image of `feed`, in its order.

    The noise of an image is of `seed`, `name` and its place, drawn on the CPU: neither `rows` nor
    the device changes more than rounding.

    Args:
        variance: of the Gaussian of a pixel; None: pixels are Bernoulli.
        samples: K.
        rows: codes that are decoded at a time.
        name: of the split.
    """
    parts: list[Tensor] = []
    place = 0
    for batch in feed.in_order(max(1, rows // samples)):
        mean, log_var = (part.cpu().double() for part in vae.encoder(batch.images, batch.labels))
        places = range(place, place := place + len(mean))
        sources = (generator(seed, f"likelihood {name} {index}") for index in places)
        # float32, as the networks have it; (B, K, Z)
        noise = torch.stack([torch.randn(samples, mean.shape[1], generator=s) for s in sources])
        weights = [
            _log_weights(vae, batch, mean, log_var, own, variance)
            for own in noise.split(max(1, rows // len(mean)), 1)
        ]
        log_weights = torch.cat(weights, 1)
        log_p = torch.logsumexp(log_weights, 1) - math.log(samples)
        parts.append(torch.stack([log_p, log_weights.mean(1)]))
    return Estimates(*torch.cat(parts, 1).numpy())


def _log_weights(
    vae: VAE, batch: Batch, mean: Tensor, log_var: Tensor, noise: Tensor, variance: float | None
) -> Tensor:
    """log p(x|z) p(z) / q(z|x) at z = mean + deviation * noise.

    float64 (B, Z) twice, float32 (B, K, Z) => float64 (B, K), on the CPU
    """
    eps = noise.double()
    codes = mean[:, None] + (0.5 * log_var).exp()[:, None] * eps
    # The constants of the two normal densities cancel.
    ratio = 0.5 * ((eps.square() - codes.square()).sum(2) + log_var.sum(1, keepdim=True))
    images, count = batch.images, noise.shape[1]
    labels = None if batch.labels is None else batch.labels.repeat_interleave(count)
    drawn = vae.decoder(codes.flatten(0, 1).float().to(images.device), labels)
    drawn = drawn.reshape(len(images), count, -1)
    of_pixels = _bernoulli(images, drawn) if variance is None else _normal(images, drawn, variance)
    return ratio + of_pixels.cpu().double()


def _bernoulli(images: Tensor, drawn: Tensor) -> Tensor:
    """log p(x|z) of black-and-white images (B, C, H, W) by biases (B, K, D) => (B, K)

    A pixel's probability is p where it is white and 1 - p where it is black, |p - (1 - x)| in both
    cases: one logarithm a pixel, where x log p + (1 - x) log(1 - p) takes two.
    """
    black = 1 - images.flatten(1)[:, None]
    return (drawn - black).abs_().log_().clamp_(min=_LEAST_LOG).sum(2, dtype=_wide(drawn))


def _normal(images: Tensor, drawn: Tensor, variance: float) -> Tensor:
    """log p(x|z) of images (B, C, H, W) by means (B, K, D) => (B, K)"""
    error = (drawn - images.flatten(1)[:, None]).square_().sum(2, dtype=_wide(drawn))
    return -0.5 * (error / variance + drawn.shape[2] * math.log(2 * math.pi * variance))


def _wide(of: Tensor) -> torch.dtype:
    """What to add pixels up in: float64, which Apple's GPUs do not have."""
    return torch.float32 if of.device.type == "mps" else torch.float64
