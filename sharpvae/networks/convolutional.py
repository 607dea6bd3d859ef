"""`model.family: conv`: the parts of an encoder and a decoder that halve and double maps."""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from sharpvae.config.schema import ModelConfig
from sharpvae.networks.layers import activation, down, norm_1d, up, upsample
from sharpvae.networks.parts import DecoderParts, EncoderBody


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
