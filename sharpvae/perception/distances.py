"""Distances between images in the features of a network."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import alexnet, vgg16, vgg19

from sharpvae.core.errors import UserError

# Positions in torchvision's `features`: the last ReLU of each of the first three blocks.
DEFAULT_LAYERS = {"vgg16": (3, 8, 15), "vgg19": (3, 8, 17)}
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_BUILDERS = {"alexnet": alexnet, "vgg16": vgg16, "vgg19": vgg19}


class ImageNetFeatures(nn.Module):
    """Feature maps of a network trained on ImageNet: AlexNet (Krizhevsky 2014) or VGG (Simonyan &
    Zisserman 2015), of images brought to the mean and deviation that torchvision trained on.

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
            f"get the file with: sharpvae weights {name}, or correct {key}",
        ) from None


# Positions in torchvision's `features`: the ReLU that ends each of the five slices.
LAYERS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}


def channel_weights(network: str) -> list[Tensor]:
    """The weights of every channel of every layer, calibrated on human judgements (LPIPS).

    Args:
        network: `alex` or `vgg`.

    Returns:
        float32 (F_l,) for each of `LAYERS`, none below 0.

    Raises:
        UserError: the package is not installed, or its file is damaged.
    """
    package = find_spec("lpips")  # not imported: it would bring its training tools
    if package is None or package.origin is None:
        raise UserError("loss.lpips", "the package lpips", "it is not installed", "make setup")
    path = Path(package.origin).parent / "weights" / "v0.1" / f"{network}.pth"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return [state[f"lin{layer}.model.1.weight"].flatten() for layer in range(5)]
    except Exception as error:  # whatever torch.load makes of what is no weights file
        raise UserError(
            str(path),
            f"the lpips package's weights for {network}",
            " ".join(f"{type(error).__name__}: {error}".split())[:200],
            "install it again: pip install --force-reinstall --no-deps lpips",
        ) from None


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

    D = height * width * channels puts it in the scale of an error summed over pixels.

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

    which is LPIPS with its calibrated w (Zhang et al. 2018, equation 1). D as above.

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
        weights, layers = self.channel_weights, self.network(reconstructions)
        for index, (f, layer) in enumerate(zip(targets, layers, strict=True)):
            squares = (f - _unit(layer)).square().mean((2, 3))
            total = total + (squares.mean(1) if weights is None else squares @ weights[index])
        return total * images[0].numel()


def _unit(features: Tensor) -> Tensor:
    """Every position's vector of channels at length 1; where all channels are 0 they stay 0.

    The root is kept away from 0, where its gradient is infinite.
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
