"""What encoders and decoders are made of: blocks, and the families conv and mlp."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sharpvae.vae.config import ModelConfig

Weighted = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
# 1 / sqrt(E[silu(x)^2]) for a standard normal x: what keeps a second moment of 1 through a SiLU.
SILU_GAIN = 1.6765


def activation(config: ModelConfig, keep_input: bool = False) -> nn.Module:
    """The configured nonlinearity; `negative_slope` counts for leaky_relu alone.

    A rectifier overwrites its input unless `keep_input`, which saves one map in three: its gradient
    follows from its output. A SiLU's needs the input.
    """
    if config.activation == "leaky_relu":
        return nn.LeakyReLU(config.negative_slope, inplace=not keep_input)
    if config.activation == "relu":
        return nn.ReLU(inplace=not keep_input)
    return nn.Tanh() if config.activation == "tanh" else nn.SiLU()


def norm_2d(norm: str, channels: int) -> list[nn.Module]:
    """Of maps (B, C, H, W): `batch` over (B, H, W), `group` over groups of channels; else none."""
    if norm == "group":
        return [nn.GroupNorm(groups(channels), channels)]
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


def norm_1d(config: ModelConfig, channels: int, side: int = 1) -> list[nn.Module]:
    """Of vectors (B, F), where F is `channels` maps of `side` x `side` laid out one by one."""
    features = channels * side * side
    if config.norm == "group":
        return [nn.GroupNorm(groups(channels), features)]
    return [nn.BatchNorm1d(features)] if config.norm == "batch" else []


def groups(channels: int) -> int:
    """How many groups normalise `channels`: the largest divisor up to 8, of 4 channels or more.

    The norm of one number is 0, and of two +1 and -1: small groups say nothing of maps of a pixel.
    """
    most = min(8, max(1, channels // 4))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, Identity mappings, fig. 1b).

    It starts as the identity (Goyal et al. 2017, section 5.1).
    """

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        bias = config.norm == "none"
        self.branch = nn.Sequential(
            *norm_2d(config.norm, channels),
            activation(config, keep_input=bias),  # without a norm, the shortcut's own maps
            nn.Conv2d(channels, channels, 3, padding=1, bias=bias),
            *norm_2d(config.norm, channels),
            activation(config),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.start_as_identity()

    def start_as_identity(self) -> None:
        """Set the last convolution to zero."""
        for weight in self.branch[-1].parameters():
            nn.init.zeros_(weight)

    def forward(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) => (B, C, H, W)"""
        return maps + self.branch(maps)


def residual(config: ModelConfig, channels: int) -> list[nn.Module]:
    """The residual block behind a change of size, where `model.blocks` asks for one."""
    return [Residual(config, channels)] if config.blocks == "residual" else []


def down(config: ModelConfig, inputs: int, outputs: int, bare: bool = False) -> nn.Sequential:
    """Halve height and width: convolution, norm unless `bare`, activation, residual block.

    (B, I, H, W) => (B, O, H/2, W/2)
    """
    norm = [] if bare else norm_2d(config.norm, outputs)
    # A bias before a norm is subtracted again.
    conv = nn.Conv2d(inputs, outputs, config.kernel, stride=2, padding=1, bias=not norm)
    return nn.Sequential(conv, *norm, activation(config), *residual(config, outputs))


def up(config: ModelConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Double height and width: convolution, norm, activation, residual block.

    (B, I, H, W) => (B, O, 2H, 2W)
    """
    norm = norm_2d(config.norm, outputs)
    conv = upsample(config, inputs, outputs, bias=not norm)
    return nn.Sequential(conv, *norm, activation(config), *residual(config, outputs))


def upsample(config: ModelConfig, inputs: int, outputs: int, bias: bool) -> nn.Module:
    """What doubles height and width exactly, bare.  (B, I, H, W) => (B, O, 2H, 2W)

    A transposed convolution may draw a checkerboard; repeating each pixel and convolving the result
    does not (Odena et al. 2016, Deconvolution and checkerboard artifacts).
    """
    if config.upsampling == "nearest":
        conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        return nn.Sequential(nn.Upsample(scale_factor=2, mode="nearest"), conv)
    extra = 1 if config.kernel == 3 else 0
    return nn.ConvTranspose2d(
        inputs, outputs, config.kernel, stride=2, padding=1, output_padding=extra, bias=bias
    )


def initialise(config: ModelConfig, body: Iterable[nn.Module], heads: Iterable[nn.Module]) -> None:
    """Draw the first weights as `model.init` asks.

    `kaiming` keeps the second moment of activations through the layers followed by a nonlinearity
    (He et al. 2015, eq. 14; for SiLU by its own gain, for tanh by 5/3) and uses Xavier (Glorot &
    Bengio 2010, eq. 16) for the heads. `default` is PyTorch's own. Residual blocks start as the
    identity.

    Args:
        body: modules whose convolutions and linear layers feed the activation.
        heads: the layers that give mean, log-variance and pixels.
    """
    if config.init == "default":
        return
    body = list(body)
    for roots, draw in ((body, partial(_kaiming, config)), (heads, nn.init.xavier_uniform_)):
        for layer in weighted(roots):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for block in (module for root in body for module in root.modules()):
        if isinstance(block, Residual):
            block.start_as_identity()


def _kaiming(config: ModelConfig, weight: Tensor) -> None:
    if config.activation == "silu":
        nn.init.kaiming_normal_(weight, nonlinearity="linear")
        with torch.no_grad():
            weight.mul_(SILU_GAIN)
        return
    if config.activation == "tanh":
        nn.init.kaiming_normal_(weight, nonlinearity="tanh")
        return
    slope = config.negative_slope if config.activation == "leaky_relu" else 0.0
    nn.init.kaiming_normal_(weight, a=slope, nonlinearity="leaky_relu")


def weighted(roots: Iterable[nn.Module]) -> list[Weighted]:
    """The convolutions and linear layers of `roots`, in their order."""
    return [layer for root in roots for layer in root.modules() if isinstance(layer, Weighted)]


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
