"""Pythae's convolutional networks for MNIST, unchanged, under the contract of docs/networks.md.

    pip install -e '.[bench]'
    dvc exp run -S '++variants.pythae.model.family=examples/pythae_convnet.py:PythaeConvnet' \
                -S ++variants.pythae.model.latent_dim=16
"""

from __future__ import annotations

import torch.nn.functional as F
from pythae.models import VAEConfig
from pythae.models.nn.benchmarks.mnist import Decoder_Conv_AE_MNIST, Encoder_Conv_VAE_MNIST
from torch import Tensor, nn

SIDE = 28  # of the images that they are made for


class PythaeConvnet(nn.Module):
    """Encoder_Conv_VAE_MNIST and Decoder_Conv_AE_MNIST of Pythae 0.1 (Chadebec et al. 2022).

    They take grey images of 28x28. Digits at 32x32 have a black border of two pixels, which is cut
    off before the encoder and put on again behind the decoder.
    """

    def __init__(self, image_channels: int, image_size: int, latent_dim: int) -> None:
        super().__init__()
        if image_channels != 1 or image_size not in (SIDE, SIDE + 4):
            found = f"{image_size}x{image_size}x{image_channels}"
            raise ValueError(f"grey images of 28x28, or of 32x32 with a border, not {found}")
        config = VAEConfig(input_dim=(1, SIDE, SIDE), latent_dim=latent_dim)
        self.encoder, self.decoder = Encoder_Conv_VAE_MNIST(config), Decoder_Conv_AE_MNIST(config)
        self.border = (image_size - SIDE) // 2

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 1, H, H) in [0, 1] => mean and log-variance of the code, (B, Z) each"""
        found = self.encoder(F.pad(images, [-self.border] * 4))
        return found.embedding, found.log_covariance

    def decode(self, latents: Tensor) -> Tensor:
        """(B, Z) => (B, 1, H, H) in [0, 1]"""
        return F.pad(self.decoder(latents).reconstruction.float(), [self.border] * 4)
