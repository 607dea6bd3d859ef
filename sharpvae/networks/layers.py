"""The blocks that encoders and decoders are made of."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from sharpvae.config.schema import ModelConfig


def activation(config: ModelConfig) -> nn.Module:
    """The configured nonlinearity; `negative_slope` counts for leaky_relu alone."""
    if config.activation == "leaky_relu":
        return nn.LeakyReLU(config.negative_slope)
    return nn.ReLU() if config.activation == "relu" else nn.SiLU()


def norm_2d(config: ModelConfig, channels: int) -> list[nn.Module]:
    """Batch normalisation over (N, H, W), or nothing."""
    return [nn.BatchNorm2d(channels)] if config.norm == "batch" else []


def down(config: ModelConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Halve height and width: convolution, norm, activation.  (B, I, H, W) => (B, O, H/2, W/2)"""
    bias = config.norm == "none"  # a bias before batch norm is subtracted again
    conv = nn.Conv2d(inputs, outputs, config.kernel, stride=2, padding=1, bias=bias)
    return nn.Sequential(conv, *norm_2d(config, outputs), activation(config))


def up(config: ModelConfig, inputs: int, outputs: int) -> nn.Sequential:
    """Double height and width, norm, activation.  (B, I, H, W) => (B, O, 2H, 2W)"""
    conv = upsample(config, inputs, outputs, bias=config.norm == "none")
    return nn.Sequential(conv, *norm_2d(config, outputs), activation(config))


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

    `kaiming` keeps the variance of activations through the layers followed by a rectifier (He et
    al. 2015, eq. 14) and uses Xavier (Glorot & Bengio 2010, eq. 16) for the heads, which have no
    rectifier behind them. `default` leaves PyTorch's own initialisation.

    Args:
        body: modules whose convolutions and linear layers feed the activation.
        heads: the layers that give mean, log-variance and pixels.
    """
    if config.init == "default":
        return
    slope = config.negative_slope if config.activation == "leaky_relu" else 0.0
    for layer in _weighted(body):
        nn.init.kaiming_normal_(layer.weight, a=slope, nonlinearity="leaky_relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    for layer in _weighted(heads):
        nn.init.xavier_uniform_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _weighted(roots: Iterable[nn.Module]) -> list[nn.Conv2d | nn.ConvTranspose2d | nn.Linear]:
    return [
        layer
        for root in roots
        for layer in root.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)
    ]
