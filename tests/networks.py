"""A network of the user's own, as small as the contract lets it be, and files that hold one."""

from __future__ import annotations

from pathlib import Path

from tests.imports import REPOSITORY

EXAMPLE = f"{REPOSITORY}/examples/my_network.py:ResidualVAE"
NETWORK = """\
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, image_channels, image_size, latent_dim, width=8):
        super().__init__()
        self.shape = (image_channels, image_size, image_size)
        pixels = image_channels * image_size**2
        self.body = nn.Linear(pixels, width)
        self.heads = nn.Linear(width, 2 * latent_dim)
        self.decoder = nn.Linear(latent_dim, pixels)

    def encode(self, images):
        mean, log_var = self.heads(self.body(images.view(len(images), -1)).relu()).chunk(2, 1)
        return mean, log_var

    def decode(self, latents):
        return torch.sigmoid(self.decoder(latents)).view(-1, *self.shape)
"""


def written(place: Path, text: str = NETWORK, name: str = "networks/net.py") -> str:
    """Write a network into a file below `place`; its `model.family` for who works there."""
    path = place / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return f"{name}:Net"


def changed(old: str, new: str) -> str:
    """`NETWORK` with one thing about it changed."""
    assert NETWORK.count(old) == 1, old
    return NETWORK.replace(old, new)
