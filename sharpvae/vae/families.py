"""The families of networks: convolutions, and linear layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from torch import nn

from sharpvae.vae.config import ModelConfig
from sharpvae.vae.layers import activation, down, norm_1d, up, upsample


class EncoderBody(NamedTuple):
    """Images to features, which the heads of mean and log-variance read."""

    body: nn.Sequential
    features: int


class DecoderParts(NamedTuple):
    """Latents to pixels before the sigmoid: head(body(stem(z)))."""

    stem: nn.Sequential
    body: nn.Sequential
    head: nn.Module  # draws the pixels


def conv_encoder(config: ModelConfig, image_channels: int, image_size: int) -> EncoderBody:
    """(B, C, H, W) => (B, F): one halving a width, then everything side by side."""
    widths = [image_channels, *config.channels]
    side = image_size // config.stride
    blocks = [
        down(config, a, b, bare=config.ends == "bare" and position == 0)
        for position, (a, b) in enumerate(pairwise(widths))
    ]
    return EncoderBody(nn.Sequential(*blocks, nn.Flatten()), widths[-1] * side * side)


def conv_decoder(
    config: ModelConfig, inputs: int, image_channels: int, image_size: int
) -> DecoderParts:
    """(B, inputs) => pixels before the sigmoid (B, C, H, W).

    The widths run backwards through one upsampling a block. `head: conv` adds a 3x3 convolution
    after the last of them; `head: upsampling` lets the last one draw the pixels.
    """
    widths = config.channels[::-1]
    stem = _stem(config, inputs, widths[0], image_size // config.stride)
    if config.head == "conv":
        widths = [*widths, widths[-1]]
        head: nn.Module = nn.Conv2d(widths[-1], image_channels, 3, padding=1)
    else:
        head = upsample(config, widths[-1], image_channels, bias=True)
    body = nn.Sequential(*(up(config, a, b) for a, b in pairwise(widths)))
    return DecoderParts(stem, body, head)


def _stem(config: ModelConfig, inputs: int, channels: int, side: int) -> nn.Sequential:
    """(B, inputs) => (B, channels, side, side); a bare one is the linear layer alone."""
    flat, unflatten = channels * side * side, nn.Unflatten(1, (channels, side, side))
    if config.ends == "bare":
        return nn.Sequential(nn.Linear(inputs, flat), unflatten)
    norm = norm_1d(config, channels, side)
    linear = nn.Linear(inputs, flat, bias=not norm)
    return nn.Sequential(linear, *norm, activation(config), unflatten)


def mlp_encoder(config: ModelConfig, inputs: int) -> EncoderBody:
    """(B, inputs) => (B, F) through the widths, from the image inwards."""
    return EncoderBody(_stack(config, inputs, config.channels), config.channels[-1])


def mlp_decoder(
    config: ModelConfig, inputs: int, image_channels: int, image_size: int
) -> DecoderParts:
    """(B, inputs) => pixels before the sigmoid (B, C, H, W), through the widths backwards."""
    stem, *body = _stack(config, inputs, config.channels[::-1])
    shape = (image_channels, image_size, image_size)
    pixels = nn.Linear(config.channels[0], image_channels * image_size * image_size)
    head = nn.Sequential(pixels, nn.Unflatten(1, shape))
    return DecoderParts(nn.Sequential(stem), nn.Sequential(*body), head)


def _stack(config: ModelConfig, inputs: int, widths: Sequence[int]) -> nn.Sequential:
    """One layer a width; the first has neither norm nor dropout."""
    first = nn.Sequential(nn.Linear(inputs, widths[0]), activation(config))
    return nn.Sequential(first, *(_inner(config, a, b) for a, b in pairwise(widths)))


def _inner(config: ModelConfig, inputs: int, outputs: int) -> nn.Sequential:
    norm = norm_1d(config, outputs)
    linear = nn.Linear(inputs, outputs, bias=not norm)
    dropout = [nn.Dropout(config.dropout)] if config.dropout > 0 else []
    return nn.Sequential(linear, *norm, activation(config), *dropout)
