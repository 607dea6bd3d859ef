"""A density of the codes, fitted after training to where the encoder puts images.

Samples from the prior are poor where the codes of real images do not follow it. A Gaussian mixture
fitted to them takes its place (Ghosh et al. 2020, section 4; Dai & Wipf 2019 say why): 10
components of full covariance there, here as many as do best on validation images.

It models the axes of strong signal (see `sampling.codes`) jointly. In the latent space this is a
mixture with full covariances.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import generator, seed_of
from sharpvae.sampling.codes import Axes, Codes, draws, principal_axes
from sharpvae.sampling.config import MixtureConfig

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Array = NDArray[np.float64]

_RIDGE = 1e-6  # added to variances, which are 1 and more


class Mixture(NamedTuple):
    """A Gaussian mixture along the first A axes, independent Gaussians along the rest."""

    axes: Axes
    weights: Array  # (K,), adding up to 1
    means: Array  # (K, A)
    factors: Array  # (K, A, A), lower Cholesky factors of the covariances
    rest: Array  # (Z - A,), variances

    def sample(
        self, count: int, source: torch.Generator, labels: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """`count` codes, float32 (count, Z), on the CPU, from a generator on the CPU.

        Whatever the classes asked for, `labels`: the mixture is one for all of them. `temperature`
        multiplies the standard deviation of each component.
        """
        chosen = torch.multinomial(torch.from_numpy(self.weights), count, True, generator=source)
        noise = torch.randn(count, len(self.axes.centre), generator=source, dtype=torch.float64)
        strong, component = len(self.means[0]), chosen.numpy()
        eps = temperature * noise.numpy()
        joint = self.means[component]
        for index, factor in enumerate(self.factors):
            mine = component == index
            joint[mine] += eps[mine, :strong] @ factor.T
        coordinates = np.concatenate([joint, eps[:, strong:] * np.sqrt(self.rest)], axis=1)
        return torch.from_numpy(self.axes.to_codes(coordinates)).float()

    def log_density(self, codes: Array, labels: Tensor | None = None) -> float:
        """Mean log-density of codes, float64 (N, Z), in nats."""
        coordinates, strong = self.axes.to_axes(codes), len(self.means[0])
        own = []
        for weight, mean, factor in zip(self.weights, self.means, self.factors, strict=True):
            scaled = solve_triangular(factor, (coordinates[:, :strong] - mean).T, lower=True)
            volume = np.log(np.diag(factor)).sum() + strong / 2 * np.log(2 * np.pi)
            own.append(np.log(weight) - volume - np.square(scaled).sum(axis=0) / 2)
        return self.axes.rest_density(coordinates, strong) + float(logsumexp(own, axis=0).mean())


def fit_mixture(
    train: Codes, validation: Codes, config: MixtureConfig, seed: int
) -> tuple[Mixture, dict[str, Any]]:
    """Fit every number of components that `config` lists to `train`; keep the best on `validation`.

    Returns:
        The mixture, and for priors.json what was tried: log-likelihoods are means over draws, in
        nats, of the density in the latent space; candidates left out come with a reason.

    Raises:
        UserError: no number of components could be fitted.
    """
    axes = principal_axes(train)
    strong = max(1, axes.strong(config.signal, config.axes))
    sets = {
        name: axes.to_axes(draws(codes, config.draws, generator(seed, f"mixture {name}")))
        for name, codes in (("train", train), ("validation", validation))
    }
    base = {name: axes.rest_density(z, strong) for name, z in sets.items()}
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
    return Mixture(axes, model.weights_, model.means_, factors, axes.rest(strong)), {
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
    # Here, for `load` draws from a mixture, too, and would wait a second for it.
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    needed = components * (points.shape[1] + 1)
    if len(points) < needed:
        return f"{len(points)} draws, where full covariances need {needed}"
    if images < 2 * components:
        return f"{images} images, where {2 * components} are the least"
    settings = {"reg_covar": _RIDGE, "max_iter": config.iterations, "random_state": start}
    model = GaussianMixture(components, **settings)
    # Threads would add up the sums of k-means in the order in which they finish, and take three
    # times as long for products as small as these.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # mixture.json says so
        try:
            return model.fit(points)
        except ValueError as error:
            return " ".join(str(error).split())[:200]
