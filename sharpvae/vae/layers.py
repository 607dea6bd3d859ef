"""The blocks that encoders and decoders are made of."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from sharpvae.vae.config import ModelConfig

Weighted = nn.Conv2d | nn.ConvTranspose2d | nn.Linear
# 1 / sqrt(E[silu(x)^2]) for a standard normal x: what keeps a second moment of 1 through a SiLU.
SILU_GAIN = 1.6765


def activation(config: ModelConfig, keep_input: bool = False) -> nn.Module:
    """The configured nonlinearity; `negative_slope` counts for leaky_relu alone.

    A rectifier overwrites its input unless `keep_input`. Its gradient follows from its output, so
    that values and gradients are the same, and of three maps a block that a leaky one would keep
    for them (the convolution's, the norm's and its own) two remain. A SiLU's needs the input.
    """
    if config.activation == "leaky_relu":
        return nn.LeakyReLU(config.negative_slope, inplace=not keep_input)
    return nn.ReLU(inplace=not keep_input) if config.activation == "relu" else nn.SiLU()


def norm_2d(config: ModelConfig, channels: int) -> list[nn.Module]:
    """Of maps (B, C, H, W): over (B, H, W), over groups of channels, or nothing."""
    if config.norm == "group":
        return [nn.GroupNorm(groups(channels), channels)]
    return [nn.BatchNorm2d(channels)] if config.norm == "batch" else []


def norm_1d(config: ModelConfig, channels: int, side: int = 1) -> list[nn.Module]:
    """Of vectors (B, F), where F is `channels` maps of `side` x `side` laid out one by one."""
    features = channels * side * side
    if config.norm == "group":
        return [nn.GroupNorm(groups(channels), features)]
    return [nn.BatchNorm1d(features)] if config.norm == "batch" else []


def groups(channels: int) -> int:
    """How many groups normalise `channels`: the largest divisor up to 8, of 4 channels or more.

    A smaller group would say next to nothing where a map is one pixel large: the norm of one number
    is 0, of two it is +1 and -1.
    """
    most = min(8, max(1, channels // 4))
    return next(count for count in range(most, 0, -1) if channels % count == 0)


class Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al. 2016, Identity mappings, fig. 1b).

    (B, C, H, W) => (B, C, H, W). It starts as the identity (Goyal et al. 2017, section 5.1), so
    that depth costs nothing at first.
    """

    def __init__(self, config: ModelConfig, channels: int) -> None:
        super().__init__()
        bias = config.norm == "none"
        self.branch = nn.Sequential(
            *norm_2d(config, channels),
            activation(config, keep_input=bias),  # without a norm, the shortcut's own maps
            nn.Conv2d(channels, channels, 3, padding=1, bias=bias),
            *norm_2d(config, channels),
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
    norm = [] if bare else norm_2d(config, outputs)
    # A bias before a norm is subtracted again.
    conv = nn.Conv2d(inputs, outputs, config.kernel, stride=2, padding=1, bias=not norm)
    return nn.Sequential(conv, *norm, activation(config), *residual(config, outputs))


def up(config: ModelConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Double height and width: convolution, norm, activation, residual block.

    (B, I, H, W) => (B, O, 2H, 2W)
    """
    norm = norm_2d(config, outputs)
    conv = upsample(config, inputs, outputs, bias=not norm)
    return nn.Sequential(conv, *norm, activation(config), *residual(config, outputs))


def upsample(config: ModelConfig, inputs: int, outputs: int, bias: bool) -> nn.Module:
    """What doubles height and width exactly, bare.  (B, I, H, W) => (B, O, 2H, 2W)

    A transposed convolution reaches neighbouring pixels by different numbers of its weights, which
    draws a checkerboard unless training irons it out. Repeating each pixel and convolving the
    result treats all of them alike (Odena et al. 2016, Deconvolution and checkerboard artifacts).
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
    (He et al. 2015, eq. 14; for SiLU by its own gain) and uses Xavier (Glorot & Bengio 2010,
    eq. 16) for the heads, which have none behind them. `default` leaves PyTorch's own
    initialisation. In either case a residual block starts as the identity.

    Args:
        body: modules whose convolutions and linear layers feed the activation.
        heads: the layers that give mean, log-variance and pixels.
    """
    if config.init == "default":
        return
    body = list(body)
    for layer in weighted(body):
        _kaiming(config, layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for layer in weighted(heads):
        nn.init.xavier_uniform_(layer.weight)
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
    slope = config.negative_slope if config.activation == "leaky_relu" else 0.0
    nn.init.kaiming_normal_(weight, a=slope, nonlinearity="leaky_relu")


def weighted(roots: Iterable[nn.Module]) -> list[Weighted]:
    """The convolutions and linear layers of `roots`, in their order."""
    return [layer for root in roots for layer in root.modules() if isinstance(layer, Weighted)]
