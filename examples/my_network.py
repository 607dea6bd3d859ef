"""A network of one's own: a small residual VAE under the contract of docs/networks.md.

    dvc exp run -S '++variants.mine.model.family=examples/my_network.py:ResidualVAE'

Copy it to networks/, whose files DVC watches, and make it yours.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions beside a shortcut.  (B, width, H, W) => the same"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
            nn.GroupNorm(4, width), nn.SiLU(), nn.Conv2d(width, width, 3, padding=1),
        )  # fmt: skip

    def forward(self, maps: Tensor) -> Tensor:
        return maps + self.branch(maps)


class ResidualVAE(nn.Module):
    """Halves images twice, and doubles them twice.

    Args:
        image_channels, image_size, latent_dim: passed to every network.
        classes: passed with model.conditional: true.
        width: channels, a multiple of 4; set by `model.arguments: {width: 64}`.
    """

    def __init__(
        self, image_channels: int, image_size: int, latent_dim: int, classes: int = 0,
        width: int = 32,
    ) -> None:  # fmt: skip
        super().__init__()
        if image_size % 4:
            raise ValueError(f"data.image_size must be a multiple of 4, not {image_size}")
        side, self.classes = image_size // 4, classes
        features = width * side * side
        self.encoder = nn.Sequential(
            nn.Conv2d(image_channels + classes, width, 4, stride=2, padding=1), Block(width),
            nn.Conv2d(width, width, 4, stride=2, padding=1), Block(width),
            nn.Flatten(), nn.Linear(features, 2 * latent_dim),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim + classes, features), nn.Unflatten(1, (width, side, side)),
            Block(width), nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1),
            Block(width), nn.Upsample(scale_factor=2),
            nn.Conv2d(width, image_channels, 3, padding=1),
        )  # fmt: skip

    def encode(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) in [0, 1], int64 (B,) => mean and log-variance of the code, (B, Z) each"""
        if labels is not None:  # a map a class behind the image
            maps = F.one_hot(labels, self.classes).float()[:, :, None, None]
            images = torch.cat([images, maps.expand(-1, -1, *images.shape[2:])], 1)
        mean, log_var = self.encoder(images).chunk(2, 1)
        return mean, log_var

    def decode(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, Z), int64 (B,) => (B, C, H, W) in [0, 1]"""
        if labels is not None:
            latents = torch.cat([latents, F.one_hot(labels, self.classes).float()], 1)
        # In full precision: bf16 knows nothing between 0.996 and 1.
        return torch.sigmoid(self.decoder(latents).float())
