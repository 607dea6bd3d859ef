"""The discriminator: one trunk, and a head that scores patches, the whole image, or both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sharpvae.objective.config import AdversarialConfig
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.layers import norm_2d

Norm = Literal["none", "batch", "group", "spectral"]
Heads = Literal["patch", "image", "both"]
Activation = Literal["leaky_relu", "silu"]
SLOPE = 0.2  # of leaky_relu, as in Isola et al.
SMALLEST = 4  # pixels of the maps that the whole-image head ends with, if they were ever so large
GROUP = 4  # images that one deviation is taken over, or as few more as divide the batch


class Discriminator(nn.Module):
    """A PatchGAN (Isola et al. 2017, Image-to-image translation, section 3.2.2), and beyond it.

    The trunk's layout is document 003's: a 3x3 convolution, a 4x4 one of stride 2 for each width
    between the first and the last, and a 3x3 one to the last width. On it stand

    - `patch`: a 1x1 convolution to one logit a position. Four widths see patches of 20 x 20 pixels
      and give a logit for every 4 x 4.
    - `image`: convolutions of stride 2 down to 4 x 4 (or up to 7 x 7, which halved would be less),
      the deviation over the minibatch, a 3x3 convolution and one logit, as Karras et al. 2018
      (Progressive growing of GANs, table 2) end theirs.

    Weights start as PyTorch draws them.

    Args:
        image_channels: 1 or 3.
        widths: channels of each convolution of the trunk, outermost first; each between the first
            and the last halves height and width. The whole-image head has the last.
        norm: of every convolution but the first and those to the logits; `spectral` divides the
            weights of all of them by their largest singular value (Miyato et al. 2018).
        activation: `leaky_relu` of slope 0.2, or `silu`.
        heads: as above; `both` share the trunk.
        image_size: height and width in pixels, which the whole-image head needs.

    Raises:
        ValueError: a whole-image head without a size.
    """

    def __init__(
        self,
        image_channels: int,
        widths: Sequence[int],
        norm: Norm = "batch",
        activation: Activation = "leaky_relu",
        heads: Heads = "patch",
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        inputs, blocks = image_channels, []
        for position, width in enumerate(widths):
            strided = 0 < position < len(widths) - 1
            of = "none" if norm != "spectral" and position == 0 else norm
            blocks.append(_block(inputs, width, of, activation, strided))
            inputs = width
        self.body = nn.Sequential(*blocks)
        self.head = _spectral(norm, nn.Conv2d(inputs, 1, 1)) if heads != "image" else None
        self.image_head = None
        if heads != "patch":
            if image_size is None:
                raise ValueError(f"heads: {heads} needs the size of the images")
            side = image_size // 2 ** max(0, len(widths) - 2)
            self.image_head = _image_head(inputs, norm, activation, side)

    def maps(self, images: Tensor) -> list[Tensor]:
        """What each convolution of the trunk makes of images.

        float32 (B, C, H, W) in [0, 1] => one (B, F, h, w) a width
        """
        found, maps = [], images * 2 - 1
        for block in self.body:
            maps = block(maps)
            found.append(maps)
        return found

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1] => logits (B, P) a head, above 0 where it looks real

        P is the number of patches, H and W halved once a strided convolution, or 1.
        """
        maps = self.body(images * 2 - 1)
        return [head(maps).flatten(1) for head in (self.head, self.image_head) if head is not None]


class MinibatchDeviation(nn.Module):
    """Append how much the images of a group differ, as one more channel.

    The standard deviation over a group of each feature at each position, averaged over both, so
    that one number tells a batch that is all alike (Karras et al. 2018, section 3). A group is
    consecutive images: the same whichever processes and pieces share a batch, if each has whole
    groups.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """(B, F, h, w) => (B, F + 1, h, w)"""
        count, _, height, width = maps.shape
        group = group_size(count)
        groups = maps.view(count // group, group, *maps.shape[1:])
        # The root is kept away from 0, where its gradient is infinite.
        deviation = (groups.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        channel = deviation.repeat_interleave(group).view(-1, 1, 1, 1)
        return torch.cat([maps, channel.expand(-1, 1, height, width)], 1)


def group_size(count: int) -> int:
    """The least divisor of `count` from `GROUP` up; all where there are fewer."""
    return next((size for size in range(GROUP, count) if count % size == 0), count)


def configured(
    loss: AdversarialConfig, model: ModelConfig, image_channels: int, image_size: int
) -> Discriminator:
    """The discriminator that `loss.adversarial` describes, its widths scaled as the VAE's are."""
    widths = model.scaled(loss.widths)
    return Discriminator(
        image_channels, widths, loss.norm, loss.activation, loss.heads, image_size
    )  # fmt: skip


def _block(
    inputs: int, width: int, norm: Norm, activation: Activation, strided: bool
) -> nn.Sequential:
    """(B, inputs, H, W) => (B, width, H, W), or half of both if `strided`"""
    norms = norm_2d(norm, width)
    kernel, stride = (4, 2) if strided else (3, 1)
    conv = nn.Conv2d(inputs, width, kernel, stride, padding=1, bias=not norms)
    nonlinear = nn.SiLU() if activation == "silu" else nn.LeakyReLU(SLOPE)
    return nn.Sequential(_spectral(norm, conv), *norms, nonlinear)


def _image_head(width: int, norm: Norm, activation: Activation, side: int) -> nn.Sequential:
    """(B, width, side, side) => (B, 1)"""
    layers: list[nn.Module] = []
    while side >= 2 * SMALLEST:
        layers.append(_block(width, width, norm, activation, strided=True))
        side //= 2
    layers += [
        MinibatchDeviation(),
        _block(width + 1, width, norm, activation, strided=False),
        nn.Flatten(),
        _spectral(norm, nn.Linear(width * side * side, 1)),
    ]
    return nn.Sequential(*layers)


def _spectral(norm: Norm, layer: nn.Module) -> nn.Module:
    return spectral_norm(layer) if norm == "spectral" else layer
