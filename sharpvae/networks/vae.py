"""Encoder, decoder and the VAE they make (Kingma & Welling 2014)."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sharpvae.config.schema import ModelConfig
from sharpvae.networks.layers import activation, down, initialise, up, upsample


class Posterior(NamedTuple):
    """The diagonal Gaussian q(z|x) = N(mean, exp(log_var))."""

    mean: Tensor  # (B, Z)
    log_var: Tensor  # (B, Z)

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised draw for standard normal `noise`.  (B, Z) => (B, Z)"""
        return self.mean + torch.exp(0.5 * self.log_var) * noise


class Encoder(nn.Module):
    """Images in [0, 1] => posterior."""

    def __init__(self, config: ModelConfig, image_channels: int, image_size: int) -> None:
        super().__init__()
        widths = [image_channels, *config.channels]
        side = image_size // config.stride
        self.clamp = config.log_var_clamp
        self.body = nn.Sequential(*(down(config, a, b) for a, b in pairwise(widths)), nn.Flatten())
        self.mean = nn.Linear(widths[-1] * side * side, config.latent_dim)
        self.log_var = nn.Linear(widths[-1] * side * side, config.latent_dim)
        initialise(config, [self.body], [self.mean, self.log_var])

    def forward(self, images: Tensor) -> Posterior:
        """float32 (B, C, H, W) in [0, 1] => Posterior of (B, Z)"""
        features = self.body(images)
        log_var = self.log_var(features).clamp(-self.clamp, self.clamp)
        return Posterior(self.mean(features), log_var)


class Decoder(nn.Module):
    """Latents => images in [0, 1].

    The widths run backwards through one upsampling a block. `head: conv` adds a 3x3 convolution
    after the last of them; `head: upsampling` lets the last one draw the pixels.
    """

    def __init__(self, config: ModelConfig, image_channels: int, image_size: int) -> None:
        super().__init__()
        widths = config.channels[::-1]
        side = image_size // config.stride
        flat = widths[0] * side * side
        norm: list[nn.Module] = [nn.BatchNorm1d(flat)] if config.norm == "batch" else []
        self.stem = nn.Sequential(
            nn.Linear(config.latent_dim, flat, bias=config.norm == "none"),
            *norm,
            activation(config),
            nn.Unflatten(1, (widths[0], side, side)),
        )
        if config.head == "conv":
            widths = [*widths, widths[-1]]
            self.head: nn.Module = nn.Conv2d(widths[-1], image_channels, 3, padding=1)
        else:
            self.head = upsample(config, widths[-1], image_channels, bias=True)
        self.body = nn.Sequential(*(up(config, a, b) for a, b in pairwise(widths)))
        initialise(config, [self.stem, self.body], [self.head])

    def forward(self, latents: Tensor) -> Tensor:
        """float32 (B, Z) => float32 (B, C, H, W) in [0, 1]"""
        return torch.sigmoid(self.head(self.body(self.stem(latents))))


class VAE(nn.Module):
    """A variational autoencoder with a standard normal prior.

    Args:
        config: the `model` section.
        image_channels: 1 or 3.
        image_size: height and width in pixels, a multiple of `config.stride`.
    """

    def __init__(self, config: ModelConfig, image_channels: int, image_size: int) -> None:
        super().__init__()
        if image_size % config.stride:
            raise ValueError(f"image size {image_size} is no multiple of {config.stride}")
        self.latent_dim = config.latent_dim
        self.encoder = Encoder(config, image_channels, image_size)
        self.decoder = Decoder(config, image_channels, image_size)

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Posterior]:
        """Reconstruct through one posterior draw.

        Args:
            images: float32 (B, C, H, W) in [0, 1].
            noise: standard normal (B, Z).

        Returns:
            Reconstructions float32 (B, C, H, W) in [0, 1], and the posterior.
        """
        posterior = self.encoder(images)
        return self.decoder(posterior.sample(noise)), posterior
