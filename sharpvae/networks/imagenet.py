"""Features of torchvision's AlexNet and VGG, from a weights file that the user has."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import alexnet, vgg16, vgg19

from sharpvae.errors import UserError

# Positions in torchvision's `features`: the last ReLU of each of the first three blocks.
DEFAULT_LAYERS = {"vgg16": (3, 8, 15), "vgg19": (3, 8, 17)}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_BUILDERS = {"alexnet": alexnet, "vgg16": vgg16, "vgg19": vgg19}


class ImageNetFeatures(nn.Module):
    """Feature maps of a network trained on ImageNet.

    AlexNet is Krizhevsky (2014), VGG-16 and VGG-19 are Simonyan & Zisserman (2015). Images are
    brought to the mean and deviation on which torchvision trained them.

    Args:
        name: `alexnet`, `vgg16` or `vgg19`.
        weights: a state dict as torchvision publishes it (`.pth`); read without running code.
        layers: positions in `features` whose outputs are compared; None for the defaults of VGG.
        resize: height and width in pixels that images are brought to, bilinear and antialiased;
            None: as they are.
        key: the key in params.yaml that names the file, for messages.

    Raises:
        UserError: the file is missing, is not such a state dict, or a layer does not exist.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        name: str,
        weights: Path,
        layers: Sequence[int] | None,
        resize: int | None = None,
        key: str = "loss.perceptual.weights",
    ) -> None:
        super().__init__()
        with torch.device("meta"):  # neither draws nor keeps weights that the file replaces
            body = _BUILDERS[name](weights=None).features
        self.layers, self.resize = sorted(set(layers or DEFAULT_LAYERS[name])), resize
        if self.layers[-1] >= len(body):
            raise UserError(
                "loss.perceptual.layers",
                f"positions below {len(body)}, the length of {name}",
                str(self.layers[-1]),
            )
        _load(body, name, weights, key)
        self.body = nn.Sequential(*list(body)[: self.layers[-1] + 1])
        for layer in self.body:
            if isinstance(layer, nn.ReLU):
                layer.inplace = False  # or a later ReLU would rewrite a map already handed out
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(IMAGENET_STD).view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1], C 1 or 3 => one (B, F, h, w) for each chosen layer"""
        if self.resize is not None:
            size = (self.resize, self.resize)
            images = F.interpolate(images, size, mode="bilinear", antialias=True)
        maps = []
        hidden = (images.expand(-1, 3, -1, -1) - self.mean) / self.std
        for position, layer in enumerate(self.body):
            hidden = layer(hidden)
            if position in self.layers:
                maps.append(hidden)
        return maps


def _load(body: nn.Module, name: str, weights: Path, key: str) -> None:
    try:
        state = torch.load(weights, map_location="cpu", weights_only=True)
        features = {
            entry.removeprefix("features."): value
            for entry, value in state.items()
            if entry.startswith("features.")
        }
        body.load_state_dict(features, assign=True)
    except (pickle.UnpicklingError, RuntimeError, AttributeError, EOFError, OSError) as error:
        raise UserError(
            str(weights),
            f"torchvision's {name} ImageNet weights (a state dict with features.0.weight ...)",
            " ".join(str(error).split())[:200],
            f"get the file with: python -m apps.weights {name}, or correct {key}",
        ) from None
