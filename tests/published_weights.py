"""Files of weights in the format that torchvision publishes, with random values."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torchvision import models


def save_published(name: str, path: Path) -> Path:
    """A state dict of `name`'s feature layers (the classifier would be most of its bytes)."""
    with torch.device("meta"):
        features = getattr(models, name)(weights=None).features
    features = features.to_empty(device="cpu")
    random = torch.Generator().manual_seed(0)
    for layer in features:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=random)
            nn.init.normal_(layer.bias, std=0.1, generator=random)
    torch.save({f"features.{key}": value for key, value in features.state_dict().items()}, path)
    return path
