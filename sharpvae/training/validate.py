"""What the validation split says of a VAE."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import generator
from sharpvae.distributed import processes
from sharpvae.images.feed import Batch, Feed, to_float, to_uint8
from sharpvae.objective.objective import Objective
from sharpvae.perception.critic import Critic, load_critic
from sharpvae.perception.fidelity import fid
from sharpvae.vae.draw import asked_labels, from_prior
from sharpvae.vae.vae import VAE, Posterior, kl_per_dimension

Terms = dict[str, Tensor]
ACTIVE = 0.01  # variance of a posterior mean above which its unit is active (Burda et al. 2016)


def measure(
    vae: Callable[..., tuple[Tensor, Posterior]],
    objective: Objective,
    precision: torch.autocast,
    batch: Batch,
    noise: Tensor,
) -> tuple[Terms, Tensor, Posterior]:
    """Pass a batch through the VAE under one draw of the posterior.

    Args:
        vae: a `VAE`, bare or wrapped.
        noise: standard normal (B, Z).

    Returns:
        Terms of each image, (B,) each; reconstructions (B, C, H, W) and posterior in float32.
    """
    with precision:
        reconstructions, posterior = vae(batch.images, noise, batch.labels)
    posterior = Posterior(posterior.mean.float(), posterior.log_var.float())
    reconstructions = reconstructions.float()
    return objective.terms(batch.images, reconstructions, *posterior), reconstructions, posterior


@dataclass(frozen=True)
class Validation:
    """Of one VAE, on the validation split.

    Attributes:
        terms: mean over images of each term, and `loss` at the final weights and beta.
        kl_per_dimension: nats of each latent dimension, mean over images.
        active_units: latent dimensions whose posterior mean varies by more than `ACTIVE` over the
            images (Burda et al. 2016, Importance weighted autoencoders, section 5).
    """

    terms: dict[str, float]
    kl_per_dimension: list[float]
    active_units: int


@torch.no_grad()
def validate(
    vae: VAE,
    objective: Objective,
    precision: torch.autocast,
    feed: Feed,
    batch_size: int,
    seed: int,
) -> Validation:
    """Measure `vae`, in evaluation mode, on all images of `feed`.

    The noise is the same at every call, so that early stopping compares like with like; for the
    same reason the adversarial term, whose scale moves with the discriminator, has no part in it.
    Of several processes each takes some batches.
    """
    vae.eval()
    noise = generator(seed, "validation", feed.device)
    rank, world = processes.rank(), processes.world()
    sums: Terms = {}
    kl, means = torch.zeros(vae.latent_dim, device=feed.device), []
    for index, batch in enumerate(feed.in_order(batch_size)):
        shape = len(batch.images), vae.latent_dim
        draws = torch.randn(shape, generator=noise, device=feed.device)
        # All processes compute the first batch, so that each has one; rank 0 counts it.
        mine = index % world == rank
        if not mine and index > 0:
            continue
        with processes.alone():  # the statistics of a term are those of this batch
            terms, _, posterior = measure(vae, objective, precision, batch, draws)
            terms["loss"] = objective.total(terms, objective.beta())
        for name, term in terms.items():
            so_far = sums.get(name, torch.zeros((), device=feed.device))
            sums[name] = so_far + (term.sum() if mine else 0)
        if mine:
            kl += kl_per_dimension(*posterior).sum(0)
            means.append(posterior.mean)
    means_here = torch.cat([torch.zeros(0, vae.latent_dim, device=feed.device), *means])
    centre = processes.all_reduce(means_here.sum(0)) / feed.count
    variance = processes.all_reduce((means_here - centre).square().sum(0)) / feed.count
    return Validation(
        {name: float(processes.all_reduce(some)) / feed.count for name, some in sums.items()},
        (processes.all_reduce(kl) / feed.count).tolist(),
        int((variance > ACTIVE).sum()),
    )


class ValidationFID:
    """Measures a VAE in the features of the critic, never of the judge that scores in the end.

    As many samples as validation images, of the same noise (and classes) each time.

    Args:
        critic: directory that the stage `critic` wrote.
        validation: all of its images are the reference; labels ask for the classes.
        batch_size: images at a time.
        seed: of the samples.

    Raises:
        UserError: a single image has no covariance.
    """

    def __init__(self, critic: Path, validation: Feed, batch_size: int, seed: int) -> None:
        self.critic = load_critic(critic).to(validation.device).eval()
        self.batch_size, self.seed, self.device = batch_size, seed, validation.device
        self.count = validation.count
        if self.count < 2:
            raise UserError(
                "data.validation_fraction",
                "two validation images or more, for train.best_by: fid",
                str(self.count),
                "raise it, or set train.best_by: loss",
            )
        known = validation.labels
        self.asked = None if known is None else asked_labels(known, self.count, seed)
        # Reals go through the same rounding to 255 levels that samples do.
        reals = (to_float(to_uint8(b.images)) for b in validation.in_order(batch_size))
        self.reals = np.concatenate([features(self.critic, images) for images in reals])

    def __call__(self, vae: VAE) -> float:
        """The FID of `vae`, which is in evaluation mode."""
        drawn = from_prior(vae, self.count, self.batch_size, self.seed, self.asked)
        fakes = [
            features(
                self.critic, to_float(torch.from_numpy(part).permute(0, 3, 1, 2)).to(self.device)
            )
            for part in np.array_split(drawn, -(-self.count // self.batch_size))
        ]
        return fid(self.reals, np.concatenate(fakes))


@torch.no_grad()
def features(critic: Critic, images: Tensor) -> NDArray[np.float64]:
    """float32 (B, C, H, W) in [0, 1] => float64 (B, F), F the channels of all blocks together"""
    pooled = [block.mean((2, 3)) for block in critic.features(images)]
    return np.asarray(torch.cat(pooled, 1).cpu().double().numpy())
