"""Features of torchvision's VGG, from a weights file that the user has."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import vgg16, vgg19

from sharpvae.errors import UserError

# Positions in torchvision's `features`: the last ReLU of each of the first three blocks.
DEFAULT_LAYERS = {"vgg16": (3, 8, 15), "vgg19": (3, 8, 17)}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """Feature maps of VGG-16 or VGG-19 (Simonyan & Zisserman 2015) trained on ImageNet.

    Args:
        name: `vgg16` or `vgg19`.
        weights: a state dict as torchvision publishes it (`.pth`); read without running code.
        layers: positions in `features` whose outputs are compared; None for the defaults.

    Raises:
        UserError: the file is missing, is not such a state dict, or a layer does not exist.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, name: str, weights: Path, layers: Sequence[int] | None) -> None:
        super().__init__()
        body = (vgg16 if name == "vgg16" else vgg19)(weights=None).features
        self.layers = sorted(layers or DEFAULT_LAYERS[name])
        if self.layers[-1] >= len(body):
            raise UserError(
                "loss.perceptual.layers",
                f"positions below {len(body)}, the length of {name}",
                str(self.layers[-1]),
            )
        _load(body, name, weights)
        self.body = nn.Sequential(*list(body)[: self.layers[-1] + 1])
        for layer in self.body:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # or a later ReLU would rewrite a map already handed out
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1], C 1 or 3 => one (B, F, h, w) for each chosen layer"""
        maps = []
        hidden = (images.expand(-1, 3, -1, -1) - self.mean) / self.std
        for position, layer in enumerate(self.body):
            hidden = layer(hidden)
            if position in self.layers:
                maps.append(hidden)
        return maps


def _load(body: nn.Module, name: str, weights: Path) -> None:
    expected = f"torchvision's {name} ImageNet weights (a state dict with features.0.weight ...)"
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        body.load_state_dict(
            {key[9:]: value for key, value in state.items() if key.startswith("features.")}
        )
    except FileNotFoundError:
        raise UserError(
            "loss.perceptual.weights",
            expected,
            f"no file {weights}",
            "download the file to that place, or set loss.perceptual.network: critic",
        ) from None
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError) as error:
        raise UserError(
            str(weights),
            expected,
            " ".join(str(error).split())[:200],
            "download the file again, or set loss.perceptual.network: critic",
        ) from None
