"""Distance between images in the features of a network that has seen real images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

_SHORTEST = 1e-10  # length of a vector of features that counts as none; as in the lpips package


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


class NormalisedDistance(nn.Module):
    """Squared difference of features whose vectors of channels have unit length.

    With unit vectors f_l and g_l of F_l channels at each of the h_l * w_l positions of layer l,

        distance = D * sum_l mean_{h,w} sum_c w_lc (f_lc - g_lc)^2

    which is LPIPS with its calibrated w (Zhang et al. 2018, equation 1), and the plain mean over
    channels with w_lc = 1 / F_l. D = height * width * channels puts it in the scale of an error
    summed over pixels.

    Args:
        network: frozen here; its gradient still reaches the reconstruction.
        channel_weights: w_l, (F_l,) a layer; None for 1 / F_l.
    """

    def __init__(self, network: nn.Module, channel_weights: Sequence[Tensor] | None = None) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)
        self.channel_weights = None
        if channel_weights is not None:
            frozen = (nn.Parameter(weights, requires_grad=False) for weights in channel_weights)
            self.channel_weights = nn.ParameterList(frozen)

    def forward(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """(B, C, H, W) twice, in [0, 1] => (B,)"""
        with torch.no_grad():
            targets = [_unit(layer) for layer in self.network(images)]
        total = torch.zeros(len(images), device=images.device, dtype=images.dtype)
        for index, (f, layer) in enumerate(
            zip(targets, self.network(reconstructions), strict=True)
        ):
            squares = (f - _unit(layer)).square().mean((2, 3))
            weights = self.channel_weights
            total = total + (squares.mean(1) if weights is None else squares @ weights[index])
        return total * images[0].numel()


def _unit(features: Tensor) -> Tensor:
    """Every position's vector of channels at length 1; where all channels are 0 they stay 0.

    The root is kept away from 0, where its gradient would be infinite and that of a position
    without any active feature not a number.
    """
    length = features.square().sum(1, keepdim=True).clamp_min(_SHORTEST**2).sqrt()
    return features / (length + _SHORTEST)


@torch.no_grad()
def feature_variances(network: FeatureNetwork, images: Tensor) -> list[float]:
    """Variance of each layer's features over real images, all positions and channels together.

    Args:
        images: float32 (B, C, H, W) in [0, 1]; a few hundred are plenty.
    """
    return [max(float(layer.cpu().double().var()), 1e-12) for layer in network(images)]
