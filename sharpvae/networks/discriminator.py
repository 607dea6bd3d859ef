"""The discriminator of an adversarial loss: is each patch of an image real or drawn?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sharpvae.config.loss_schema import AdversarialConfig
from sharpvae.config.schema import ModelConfig
from sharpvae.networks.layers import groups

Norm = Literal["none", "batch", "group", "spectral"]
SLOPE = 0.2  # of leaky_relu, as in Isola et al.


class PatchDiscriminator(nn.Module):
    """A PatchGAN: one logit a patch (Isola et al. 2017, Image-to-image translation, section 3.2.2).

    The layout is document 003's: a 3x3 convolution, one of stride 2 for each width between the
    first and the last, a 3x3 one to the last width, and a 1x1 one to the logit. Four widths with
    kernel 4 see patches of 20 x 20 pixels and give a logit for every 4 x 4.

    Weights start as PyTorch draws them. What one pass costs: `summary.discriminator_layers`.

    Args:
        image_channels: 1 or 3.
        widths: channels of each convolution, outermost first; each between the first and the last
            halves height and width.
        kernel: of the convolutions of stride 2, 3 or 4.
        norm: of every convolution but the first and the one to the logit; `spectral` divides the
            weights of all of them by their largest singular value (Miyato et al. 2018).
        activation: `leaky_relu` of slope 0.2, or `silu`.
    """

    def __init__(
        self,
        image_channels: int,
        widths: Sequence[int],
        kernel: Literal[3, 4] = 4,
        norm: Norm = "batch",
        activation: Literal["leaky_relu", "silu"] = "leaky_relu",
    ) -> None:
        super().__init__()
        inputs, blocks = image_channels, []
        for position, width in enumerate(widths):
            strided = 0 < position < len(widths) - 1
            norms = [] if position == 0 else _norm(norm, width)
            conv = nn.Conv2d(
                inputs, width, kernel if strided else 3,
                stride=2 if strided else 1, padding=1, bias=not norms,
            )  # fmt: skip
            nonlinear = nn.SiLU() if activation == "silu" else nn.LeakyReLU(SLOPE)
            blocks.append(nn.Sequential(_spectral(norm, conv), *norms, nonlinear))
            inputs = width
        self.body = nn.Sequential(*blocks)
        self.head = _spectral(norm, nn.Conv2d(inputs, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) in [0, 1] => logits (B, h, w), above 0 where a patch looks real

        H and W must bear the halvings; h and w are they, halved once a strided convolution.
        """
        return self.head(self.body(images * 2 - 1)).squeeze(1)


def configured(
    loss: AdversarialConfig, model: ModelConfig, image_channels: int
) -> PatchDiscriminator:
    """The discriminator that `loss.adversarial` describes, its widths scaled as the VAE's are."""
    return PatchDiscriminator(
        image_channels, model.scaled(loss.widths), norm=loss.norm, activation=loss.activation
    )


def _norm(norm: Norm, channels: int) -> list[nn.Module]:
    if norm == "group":
        return [nn.GroupNorm(groups(channels), channels)]
    return [nn.BatchNorm2d(channels)] if norm == "batch" else []


def _spectral(norm: Norm, conv: nn.Conv2d) -> nn.Module:
    return spectral_norm(conv) if norm == "spectral" else conv
