"""What is seen of a VAE between updates: losses, FID and pictures of the validation split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.core.files import force
from sharpvae.core.seeds import generator
from sharpvae.distributed import processes
from sharpvae.images.feed import Batch, Feed, to_float, to_uint8
from sharpvae.images.tiles import grid, pairs
from sharpvae.objective.objective import Objective
from sharpvae.perception.critic import Critic, load_critic
from sharpvae.perception.fidelity import fid
from sharpvae.vae.draw import asked_labels, encode_images, from_prior, to_packed
from sharpvae.vae.vae import VAE, Posterior, kl_per_dimension

Terms = dict[str, Tensor]
# Variance of a posterior mean above which its unit is active (Burda et al. 2016, Importance
# weighted autoencoders, section 5).
ACTIVE = 0.01


def measure(
    vae: Callable[..., tuple[Tensor, Posterior]],
    objective: Objective,
    precision: torch.autocast,
    batch: Batch,
    noise: Tensor,
    codes: Tensor | None = None,
) -> tuple[Terms, Tensor, Posterior]:
    """Pass a batch through a VAE, bare or wrapped, with standard normal noise (B, Z).

    Returns:
        Terms of each image, (B,) each; reconstructions (B, C, H, W), behind them the images of
        `codes` (see `VAE`), and posterior, in float32.
    """
    with precision:
        if codes is None:
            images, posterior = vae(batch.images, noise, batch.labels)
        else:
            images, posterior = vae(batch.images, noise, batch.labels, codes)
    posterior = Posterior(posterior.mean.float(), posterior.log_var.float())
    images = images.float()
    reconstructions = images[: len(batch.images)]
    return objective.terms(batch.images, reconstructions, *posterior), images, posterior


@dataclass(frozen=True)
class Validation:
    """Of one VAE, on the validation split."""

    terms: dict[str, float]  # mean over images of each, and `loss` at the final weights and beta
    kl_per_dimension: list[float]  # nats, mean over images
    active_units: int  # dimensions whose posterior mean varies by more than `ACTIVE` over images


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

    The noise is the same at every call, so that epochs can be compared; for the same reason the
    adversarial term, whose scale moves with the discriminator, has no part in it. Of several
    processes each takes some batches.
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
    """The FID in the features of the critic, never of the judge that scores in the end.

    As many samples as validation images, of the same noise (and classes) each time.

    Args:
        critic: directory that the stage `critic` wrote.
        validation: the reference, and the classes asked for.
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
        images = torch.from_numpy(drawn).permute(0, 3, 1, 2)
        parts = images.tensor_split(-(-self.count // self.batch_size))
        fakes = [features(self.critic, to_float(part).to(self.device)) for part in parts]
        return fid(self.reals, np.concatenate(fakes))


@torch.no_grad()
def features(critic: Critic, images: Tensor) -> NDArray[np.float64]:
    """float32 (B, C, H, W) in [0, 1] => float64 (B, F), F the channels of all blocks together"""
    pooled = [block.mean((2, 3)) for block in critic.features(images)]
    return np.asarray(torch.cat(pooled, 1).cpu().double().numpy())


_COLUMNS, _IMAGES = 8, 32  # of a picture


class Film:
    """Writes `reconstructions/<n>.png` and `samples/<n>.png`, n = 0 before the first update.

    Args:
        directory: gets the two folders; may have the frames of an interrupted run.
        every: epochs between frames; 0 films the end alone.
        validation: its first images are reconstructed in every frame.
        seed: of the latents that every frame decodes.
        epochs: done before an interruption; None at a fresh start.
    """

    def __init__(
        self, directory: Path, every: int, validation: Feed, seed: int, epochs: int | None = None
    ) -> None:
        self.directory, self.every, self.seed = directory, every, seed
        count = min(_IMAGES, validation.count)
        count = count // _COLUMNS * _COLUMNS or count  # whole rows, where there is one
        self.columns = min(_COLUMNS, count)
        self.batch = validation.take(torch.arange(count))
        known = validation.labels
        self.asked = None if known is None else asked_labels(known, _IMAGES, seed)
        past = range(1, (epochs or 0) + 1)
        self.frames = 0 if epochs is None else 1 + sum(self.due(n, last=False) for n in past)
        for name in ("reconstructions", "samples"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    def due(self, epoch: int, last: bool) -> bool:
        """Whether a frame belongs after `epoch` (0 is before the first)."""
        return last or (self.every > 0 and epoch % self.every == 0)

    @torch.no_grad()
    def shoot(self, vae: VAE) -> tuple[Path, Path]:
        """Write the next frame: reconstructions, samples. The VAE keeps its mode."""
        training = vae.training
        vae.eval()
        reconstructions = encode_images(vae, *self.batch).reconstructions
        samples = from_prior(vae, _IMAGES, _IMAGES, self.seed, self.asked)
        vae.train(training)
        name = f"{self.frames}.png"
        paths = self.directory / "reconstructions" / name, self.directory / "samples" / name
        pairs(to_packed(self.batch.images), reconstructions, self.columns).save(paths[0])
        grid(samples, _COLUMNS).save(paths[1])
        for path in paths:
            force(path)  # as the checkpoint that counts it
        self.frames += 1
        return paths
