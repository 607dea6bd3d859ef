"""The AutoencoderKL of diffusers, whose codes are maps, under the contract of docs/networks.md.

    pip install diffusers
    dvc exp run -S '++variants.kl.model.family=examples/autoencoder_kl.py:FlatAutoencoderKL' \
                -S ++variants.kl.model.latent_dim=256

Codes are vectors here: maps of (4, 8, 8) are latent_dim 256, laid out one after the other.
"""

from __future__ import annotations

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn


class FlatAutoencoderKL(nn.Module):
    """Trained from its random first weights, and with a sigmoid at its end.

    Args:
        width: channels of the first block, a multiple of 32; twice as many after each halving.
        halvings: of height and width; what is left of them times the latent channels is
            latent_dim.
    """

    def __init__(
        self, image_channels: int, image_size: int, latent_dim: int, width: int = 32,
        halvings: int = 2,
    ) -> None:  # fmt: skip
        super().__init__()
        side = image_size >> halvings
        channels, rest = divmod(latent_dim, side * side)
        if rest or not channels:
            raise ValueError(f"latent_dim must be a multiple of {side} x {side}, not {latent_dim}")
        self.shape = (channels, side, side)
        self.inner = AutoencoderKL(
            in_channels=image_channels, out_channels=image_channels, latent_channels=channels,
            down_block_types=("DownEncoderBlock2D",) * (halvings + 1),
            up_block_types=("UpDecoderBlock2D",) * (halvings + 1),
            block_out_channels=tuple(width << level for level in range(halvings + 1)),
        )  # fmt: skip

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, C, H, W) in [0, 1] => mean and log-variance of the code, (B, Z) each"""
        found = self.inner.encode(2 * images - 1).latent_dist
        return found.mean.flatten(1), found.logvar.flatten(1)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, Z) => (B, C, H, W) in [0, 1]"""
        found = self.inner.decode(latents.unflatten(1, self.shape)).sample
        return torch.sigmoid(found.float())
