"""LPIPS (Zhang et al. 2018): which layers it compares, and the lpips package's channel weights."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from sharpvae.errors import UserError

# Positions in torchvision's `features`: the ReLU that ends each of the five slices.
LAYERS = {"alex": (1, 4, 7, 9, 11), "vgg": (3, 8, 15, 22, 29)}


def channel_weights(network: str) -> list[Tensor]:
    """The weights, calibrated on human judgements, of every channel of every layer.

    The file is part of the package, which is not imported: it would bring its training tools.

    Args:
        network: `alex` or `vgg`.

    Returns:
        float32 (F_l,) for each of `LAYERS`, none below 0.

    Raises:
        UserError: the package is not installed, or its file is damaged.
    """
    package = find_spec("lpips")
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
