"""A trainer at toy size, for whoever trains here."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpvae.core.seeds import global_seed
from sharpvae.objective.adversary import Adversary
from sharpvae.objective.discriminator import Discriminator
from sharpvae.objective.objective import Objective
from sharpvae.training.loop import Trainer
from sharpvae.vae.vae import VAE
from tests.feeds import feed_of


def bars(count: int, seed: int) -> Tensor:
    """Images of one bright bar each: little data that a VAE can learn.  uint8 (N, 1, 16, 16)"""
    random = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 1, 16, 16, dtype=torch.uint8)
    for image in images:
        row = int(torch.randint(0, 14, (), generator=random))
        image[0, row : row + 2] = 255
    return images


@pytest.fixture
def trainer(model_config, loss_config, train_config):
    """64 bars to train on, labelled by their positions, 16 to validate on; keywords change it."""

    def build(
        seed: int = 0, loss: dict | None = None, model: dict | None = None, fid=None, **changes
    ) -> Trainer:
        with global_seed(seed, "weights"):
            vae = VAE(model_config(**(model or {})), 1, 16)
        config = train_config(**changes)
        span = config.span(64)
        target = Objective(loss_config(**{"beta": 0.1, **(loss or {})}), 256, 4, span, None)
        train, validation = feed_of(bars(64, 0), torch.arange(64)), feed_of(bars(16, 1))
        adversary = None
        if target.loss.weights.adversarial > 0:
            with global_seed(seed, "discriminator"):
                heads = target.loss.adversarial.heads
                network = Discriminator(1, [4, 8, 8], "none", heads=heads, image_size=16)
            adversary = Adversary(network, target.loss.adversarial, 256)
        context = "variant x, seed 0"
        return Trainer(vae, target, config, train, validation, seed, context, 5, adversary, fid)

    return build
