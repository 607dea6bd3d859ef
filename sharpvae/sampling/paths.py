"""Ways through the latent space, as codes to decode."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

_PARALLEL = 1e-4  # sine of the angle below which a spherical path is taken straight


def traverse(base: Tensor, dimensions: list[int], reach: float, steps: int) -> Tensor:
    """`base` with one dimension after the other set to values from -reach to reach.

    float32 (Z,), D dimensions => float32 (D, steps, Z)
    """
    codes = base.repeat(len(dimensions), steps, 1)
    values = torch.linspace(-reach, reach, steps)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = values
    return codes


def interpolate(
    start: Tensor, end: Tensor, steps: int, path: Literal["linear", "spherical"]
) -> Tensor:
    """Codes from `start` to `end`, both among them, in even steps.

    A linear path passes nearer the origin than either end, where few codes of a large latent space
    lie; a spherical one (Shoemake 1985; White 2016 for latent spaces) turns from one direction to
    the other at an even rate and keeps the length of codes that are equally long. Where the ends
    are parallel, or opposite so that no turn is the shortest, or one is 0, it is the linear one.

    float32 (Z,) twice => float32 (steps, Z)
    """
    share = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    a, b = start.double(), end.double()
    lengths = a.norm() * b.norm()
    cosine = torch.dot(a, b) / lengths if lengths > 0 else torch.ones_like(lengths)
    angle = torch.arccos(cosine.clamp(-1, 1))
    if path == "linear" or torch.sin(angle) < _PARALLEL:
        return (a + share * (b - a)).float()
    weights = torch.sin((1 - share) * angle), torch.sin(share * angle)
    return ((weights[0] * a + weights[1] * b) / torch.sin(angle)).float()


def along(code: Tensor, direction: Tensor, shares: Tensor) -> Tensor:
    """`code` plus shares of `direction`.

    float32 (Z,), (Z,), (S,) => float32 (S, Z)
    """
    return code + shares[:, None] * direction
