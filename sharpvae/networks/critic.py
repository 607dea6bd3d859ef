"""The network whose features the perceptual loss compares; never the one that judges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

PURPOSE = "Critic"  # of its random draws; another word is another critic, and other trainings


class Critic(nn.Module):
    """A plain stack of 3x3 convolutions with average pooling, in the manner of VGG.

    Smooth pooling and no batch norm keep its gradient with respect to the image well behaved.

    Args:
        image_channels: 1 or 3.
        classes: number of classes it is trained to tell apart.
        widths: channels of each block; every block but the last halves height and width.
    """

    def __init__(self, image_channels: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = [image_channels, *widths]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(b, b, 3, padding=1),
                nn.ReLU(),
            )
            for a, b in pairwise(sizes)
        )
        self.pool = nn.AvgPool2d(2)
        self.classify = nn.Linear(widths[-1], classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # or six layers without a norm barely learn
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def features(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1] => one (B, F, h, w) a block"""
        layers: list[Tensor] = []
        for block in self.blocks:
            images = block(self.pool(layers[-1]) if layers else images)
            layers.append(images)
        return layers

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) in [0, 1] => class logits (B, K)"""
        return self.classify(self.features(images)[-1].mean((2, 3)))


class CriticFeatures(nn.Module):
    """The critic as a perceptual network: images in, feature maps out."""

    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1] => one (B, F, h, w) a block"""
        return self.critic.features(images)
