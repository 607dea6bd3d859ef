"""Where codes to decode are drawn from: the prior, and what is fitted to the codes of images."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.sampling.codes import Codes, draws, repeated_labels
from sharpvae.sampling.config import SampleConfig
from sharpvae.sampling.flow import Flow, fit_flow
from sharpvae.sampling.mixture import Mixture, fit_mixture
from sharpvae.vae.draw import prior_noise
from sharpvae.vae.vae import VAE

UNSEEN = 2000  # codes of validation images that the densities are compared on


class Density(Protocol):
    """A density of codes; labels are the classes asked for, of a conditional VAE."""

    def sample(
        self, count: int, source: torch.Generator, labels: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """float32 (count, Z); `temperature` is a factor of the normal noise that makes them."""
        ...

    def log_density(self, codes: NDArray[np.float64], labels: Tensor | None = None) -> float:
        """Of float64 (N, Z), the mean in nats."""
        ...


def normal_log_density(codes: NDArray[np.float64]) -> float:
    """Mean log-density of codes, (N, Z), under N(0, I), in nats."""
    return float(-0.5 * (np.square(codes) + np.log(2 * np.pi)).sum(axis=1).mean())


class Latents(NamedTuple):
    """Codes of each prior, and what was fitted for it."""

    codes: dict[str, Tensor]  # float32 (count, Z) of `prior`, that is N(0, I), `mixture`, `flow`
    mixture: Mixture
    flow: Flow
    told: dict[str, Any]  # for priors.json


def latents(
    vae: VAE, train: Codes, unseen: Codes, asked: Tensor | None, count: int, config: SampleConfig,
    seed: int,
) -> Latents:  # fmt: skip
    """Draw codes from each prior, and choose the one of the headline samples.

    Args:
        train, unseen: posteriors of training images, and of validation images.
        asked: int64 (count,), the classes asked for; None for an unconditional VAE.

    Returns:
        The codes, both densities, and for priors.json: `headline`, one of `prior`, `mixture` and
        `flow`; `validation`, the mean log-density of unseen codes under each in nats; what
        `fit_mixture` and `fit_flow` tell.
    """
    classes = vae.classes if train.labels is not None else 0
    mixture, tried = fit_mixture(train, unseen, config.mixture, seed)
    flow, learned = fit_flow(train, unseen, config.flow, config.mixture, classes, seed)
    fitted: dict[str, Density] = {"mixture": mixture, "flow": flow}
    points = draws(unseen, UNSEEN, generator(seed, "unseen codes"))
    labels = repeated_labels(unseen, UNSEEN) if classes else None
    nats = {"prior": normal_log_density(points)}
    nats |= {name: one.log_density(points, labels) for name, one in fitted.items()}
    drawn = {"prior": prior_noise(vae, count, seed)}
    for name, one in fitted.items():
        drawn[name] = one.sample(count, generator(seed, name), asked)
    headline = {"normal": "prior", "validation": max(nats, key=nats.__getitem__)}
    return Latents(drawn, mixture, flow, {
        "headline": headline.get(config.prior, config.prior), "validation": nats,
        "mixture": tried, "flow": learned,
    })  # fmt: skip
