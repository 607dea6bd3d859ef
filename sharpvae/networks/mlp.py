"""`model.family: mlp`: the parts of an encoder and a decoder of linear layers (document 003)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from sharpvae.config.schema import ModelConfig
from sharpvae.networks.layers import activation, norm_1d
from sharpvae.networks.parts import DecoderParts, EncoderBody


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
