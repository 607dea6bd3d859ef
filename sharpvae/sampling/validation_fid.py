"""The FID that chooses among epochs: of prior samples against the validation images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.datasets.batches import Feed, to_float, to_uint8
from sharpvae.errors import UserError
from sharpvae.metrics.fidelity import fid
from sharpvae.networks.critic import Critic
from sharpvae.networks.storage import load_critic
from sharpvae.networks.vae import VAE
from sharpvae.sampling.draw import asked_labels, from_prior


class ValidationFID:
    """Measures a VAE in the features of the critic, never of the judge that scores in the end.

    As many samples as validation images, of the same noise (and classes) each time. The features
    are the means over positions of each block's maps.

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
