"""Distance between images in the features of a network that has seen real images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class FeatureNetwork(Protocol):
    """Maps images to the feature maps that are to be compared."""

    def __call__(self, images: Tensor) -> Sequence[Tensor]:
        """float32 (B, C, H, W) in [0, 1] => one (B, F, h, w) a layer"""
        ...


class PerceptualDistance(nn.Module):
    """Mean over layers of the features' squared difference, relative to their variance.

    With features f_l of the image and g_l of the reconstruction, both of n_l numbers, and v_l the
    variance of layer l over real images,

        distance = D * mean_l( sum (f_l - g_l)^2 / (n_l * v_l) )

    D = height * width * channels puts it in the scale of an error summed over pixels: a
    reconstruction that explains none of the features' variance costs about D.

    Args:
        network: frozen here; its gradient still reaches the reconstruction.
        variances: v_l, one a layer.
    """

    def __init__(self, network: nn.Module, variances: Sequence[float]) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.variances = list(variances)

    def forward(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """(B, C, H, W) twice, in [0, 1] => (B,)"""
        with torch.no_grad():
            targets = self.network(images)
        ratios = [
            (f - g).square().flatten(1).mean(1) / v
            for f, g, v in zip(targets, self.network(reconstructions), self.variances, strict=True)
        ]
        return torch.stack(ratios).mean(0) * images[0].numel()


@torch.no_grad()
def feature_variances(network: FeatureNetwork, images: Tensor) -> list[float]:
    """Variance of each layer's features over real images, all positions and channels together.

    Args:
        images: float32 (B, C, H, W) in [0, 1]; a few hundred are plenty.
    """
    return [max(float(layer.double().var()), 1e-12) for layer in network(images)]
