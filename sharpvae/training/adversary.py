"""The discriminator and its own optimiser: what an adversarial loss trains against."""

from __future__ import annotations

import torch
from torch import Tensor

from sharpvae.config.loss_schema import AdversarialConfig
from sharpvae.networks.discriminator import PatchDiscriminator
from sharpvae.objective.adversarial import deception, discrimination

BETAS = (0.5, 0.9)  # of Adam: the shorter memory that moving targets want


class Adversary:
    """Scores images, and learns to tell reals from fakes.

    Args:
        discriminator: on the device of the images.
        config: the `loss.adversarial` section.
        pixels: D = height * width * channels; scales the term to an error summed over pixels.
    """

    def __init__(
        self, discriminator: PatchDiscriminator, config: AdversarialConfig, pixels: int
    ) -> None:
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.config, self.pixels = config, pixels
        self.optimizer = torch.optim.Adam(
            discriminator.parameters(), lr=config.lr, betas=BETAS, fused=True
        )

    def term(self, fakes: Tensor) -> Tensor:
        """What each fake costs the decoder, D times the mean over patches.

        float (B, C, H, W) in [0, 1] => (B,)
        """
        self.discriminator.requires_grad_(False)  # its gradients would be thrown away
        logits = self.discriminator(fakes).float().flatten(1)
        self.discriminator.requires_grad_(True)
        return self.pixels * deception(self.config.loss, logits)

    def update(self, reals: Tensor, fakes: Tensor) -> Tensor:
        """One step of the optimiser; its loss as it was before the step, a scalar.

        float (B, C, H, W) in [0, 1] each; the fakes are taken as they are, without their graph.
        """
        fakes = fakes.detach()
        # One after the other: batch norm must not tell them apart by what they share a batch with.
        real = self.discriminator(reals).float().flatten(1)
        fake = self.discriminator(fakes).float().flatten(1)
        loss = discrimination(self.config.loss, real, fake)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()
