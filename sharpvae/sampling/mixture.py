"""A density of the codes, fitted after training to where the encoder puts images.

Samples from the prior are poor where the codes of real images do not follow it. A Gaussian mixture
fitted to them takes its place (Ghosh et al. 2020, section 4; Dai & Wipf 2019 say why): 10
components of full covariance there, here as many as do best on validation images.

Most directions of a large latent space hold little but the posteriors' noise, which a full
covariance would be fitted to. So codes are divided by the noise's standard deviation in each
dimension and turned to the principal axes of the posterior means, where the variance of the means
is the ratio of signal to noise. The mixture models the axes of strong signal jointly; each of the
others keeps a Gaussian of its own. In the latent space this is a mixture with full covariances.
"""

from __future__ import annotations

import warnings
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import generator, seed_of
from sharpvae.images.feed import Feed
from sharpvae.sampling.config import MixtureConfig
from sharpvae.vae.vae import VAE

Array = NDArray[np.float64]

_RIDGE = 1e-6  # added to variances, which are 1 and more


class Codes(NamedTuple):
    """Posteriors of a set of images, and the classes of these."""

    mean: NDArray[np.float64]  # (N, Z)
    deviation: NDArray[np.float64]  # (N, Z), standard deviations
    labels: NDArray[np.int64] | None  # (N,); None without labels


class Axes(NamedTuple):
    """The affine map from codes to the axes of signal, and back."""

    centre: Array  # (Z,), mean of the posterior means
    noise: Array  # (Z,), root mean square of the posteriors' standard deviations
    directions: Array  # (Z, Z), orthonormal columns, the strongest signal first
    signal: Array  # (Z,), variance of the means along each, in units of the noise's

    def to_axes(self, codes: Array) -> Array:
        """(N, Z) => (N, Z)"""
        return np.asarray((codes - self.centre) / self.noise @ self.directions)

    def to_codes(self, coordinates: Array) -> Array:
        """(N, Z) => (N, Z), the inverse of `to_axes`"""
        return np.asarray(coordinates @ self.directions.T * self.noise + self.centre)


class Mixture(NamedTuple):
    """A Gaussian mixture along the first A axes, independent Gaussians along the rest."""

    axes: Axes
    weights: Array  # (K,), adding up to 1
    means: Array  # (K, A)
    factors: Array  # (K, A, A), lower Cholesky factors of the covariances
    rest: Array  # (Z - A,), variances

    def sample(self, count: int, source: torch.Generator) -> Tensor:
        """`count` codes, float32 (count, Z), on the CPU, from a generator on the CPU."""
        chosen = torch.multinomial(torch.from_numpy(self.weights), count, True, generator=source)
        noise = torch.randn(count, len(self.axes.centre), generator=source, dtype=torch.float64)
        strong, component = len(self.means[0]), chosen.numpy()
        eps = noise.numpy()
        joint = self.means[component]
        for index, factor in enumerate(self.factors):
            mine = component == index
            joint[mine] += eps[mine, :strong] @ factor.T
        coordinates = np.concatenate([joint, eps[:, strong:] * np.sqrt(self.rest)], axis=1)
        return torch.from_numpy(self.axes.to_codes(coordinates)).float()


def principal_axes(codes: Codes) -> Axes:
    """The axes of signal of a set of posteriors."""
    centre = codes.mean.mean(axis=0)
    noise = np.sqrt(np.square(codes.deviation).mean(axis=0))
    scaled = (codes.mean - centre) / noise
    signal, directions = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    return Axes(centre, noise, directions[:, ::-1], signal[::-1].clip(0))


def draws(codes: Codes, count: int, source: torch.Generator) -> Array:
    """float64 (count, Z), draws from the aggregate posterior, image after image, in turn."""
    images = np.arange(count) % len(codes.mean)
    noise = torch.randn(count, codes.mean.shape[1], generator=source, dtype=torch.float64)
    return np.asarray(codes.mean[images] + codes.deviation[images] * noise.numpy())


def fit_mixture(
    train: Codes, validation: Codes, config: MixtureConfig, seed: int
) -> tuple[Mixture, dict[str, Any]]:
    """Fit every number of components that `config` lists to `train`; keep the best on `validation`.

    Returns:
        The mixture, and for mixture.json what was tried: log-likelihoods are means over draws, in
        nats, of the density in the latent space; candidates left out come with a reason.

    Raises:
        UserError: no number of components could be fitted.
    """
    axes = principal_axes(train)
    strong = max(1, min(config.axes, int((axes.signal > config.signal).sum())))
    rest = 1 + axes.signal[strong:]
    sets = {
        name: axes.to_axes(draws(codes, config.draws, generator(seed, f"mixture {name}")))
        for name, codes in (("train", train), ("validation", validation))
    }
    base = {name: _rest_likelihood(z[:, strong:], rest, axes) for name, z in sets.items()}
    known = {name: z[:, :strong] for name, z in sets.items()}
    tried, fitted = _try_all(known, base, len(train.mean), config, seed)
    if not fitted:
        wanted = "a number of components that the training images are enough for"
        found = "; ".join(f"{entry['components']}: {entry['left_out']}" for entry in tried)
        fix = "add 1 to the list, or raise sample.mixture.draws"
        raise UserError("sample.mixture.components", wanted, found, fix)
    scores = {e["components"]: e["validation"] for e in tried if "validation" in e}
    best = max(scores, key=scores.__getitem__)
    model, factors = fitted[best], np.linalg.cholesky(fitted[best].covariances_)
    return Mixture(axes, model.weights_, model.means_, factors, rest), {
        "images": len(train.mean),
        "draws": config.draws,
        "latent_dim": len(axes.signal),
        "axes": strong,
        "candidates": tried,
        "chosen": best,
    }


def _try_all(
    sets: dict[str, Array], base: dict[str, float], images: int, config: MixtureConfig, seed: int
) -> tuple[list[dict[str, Any]], dict[int, GaussianMixture]]:
    """Fit each number of components to sets["train"]; log-likelihoods add up from `base`."""
    start = seed_of(seed, "mixture fit") % 2**32
    tried: list[dict[str, Any]] = []
    fitted = {}
    for components in dict.fromkeys(config.components):
        found = _fit(sets["train"], images, components, config, start)
        if isinstance(found, str):
            tried.append({"components": components, "left_out": found})
            continue
        scores = {name: base[name] + float(found.score(z)) for name, z in sets.items()}
        tried.append({"components": components, **scores, "converged": bool(found.converged_)})
        fitted[components] = found
    return tried, fitted


def _fit(
    points: Array, images: int, components: int, config: MixtureConfig, start: int
) -> GaussianMixture | str:
    """The fit, or the reason why there is none."""
    needed = components * (points.shape[1] + 1)
    if len(points) < needed:
        return f"{len(points)} draws, where full covariances need {needed}"
    if images < 2 * components:
        return f"{images} images, where {2 * components} are the least"
    settings = {"reg_covar": _RIDGE, "max_iter": config.iterations, "random_state": start}
    model = GaussianMixture(components, **settings)
    # Threads would add up the sums of k-means in the order in which they finish.
    with threadpool_limits(1, user_api="openmp"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # mixture.json says so
        try:
            return model.fit(points)
        except ValueError as error:
            return " ".join(str(error).split())[:200]


def _rest_likelihood(coordinates: Array, variances: Array, axes: Axes) -> float:
    """Mean log-density of the axes that the mixture leaves out, and the map's log-volume."""
    density = np.square(coordinates) / variances + np.log(2 * np.pi * variances)
    return float(-0.5 * density.sum(axis=1).mean() - np.log(axes.noise).sum())


@torch.no_grad()
def codes_of(vae: VAE, feed: Feed, most: int, batch_size: int, seed: int) -> Codes:
    """The codes of the images of `feed`, or of `most` of them chosen at random."""
    positions = torch.randperm(feed.count, generator=generator(seed, "encoded images"))[:most]
    means, deviations = [], []
    for chunk in positions.split(batch_size):
        batch = feed.take(chunk)
        posterior = vae.encoder(batch.images, batch.labels)
        means.append(posterior.mean.double().cpu().numpy())
        deviations.append((0.5 * posterior.log_var.double()).exp().cpu().numpy())
    labels = None if feed.labels is None else feed.labels[positions].numpy()
    return Codes(np.concatenate(means), np.concatenate(deviations), labels)
