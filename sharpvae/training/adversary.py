"""The discriminator and its own optimiser: what an adversarial loss trains against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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

    def backward(self, reals: Sequence[Tensor], fakes: Sequence[Tensor]) -> Tensor:
        """Set the gradient of the discriminator; its loss, a scalar, as it is before the step.

        Args:
            reals, fakes: float (B, C, H, W) in [0, 1], pieces of equal size. The fakes are taken
                as they are, without their graph.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for real, fake in zip(reals, fakes, strict=True):
            # One after the other: batch norm must not tell them apart by what they share a batch
            # with.
            real_logits = self.discriminator(real).float().flatten(1)
            fake_logits = self.discriminator(fake.detach()).float().flatten(1)
            loss = discrimination(self.config.loss, real_logits, fake_logits)
            (loss / len(reals) if len(reals) > 1 else loss).backward()
            losses.append(loss.detach())
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
