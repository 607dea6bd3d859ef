"""Differentiable augmentation: reals and fakes are changed alike before they are judged."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor

NUMBERS = 7  # that an image needs, whatever is done to it
_SHIFT, _CUT = 0.125, 0.5  # of a side: the largest translation, and the side of what is cut out


def augment(images: Tensor, kinds: Collection[str], draws: Tensor) -> Tensor:
    """Change colours, shift, and cut a square out, each image in its own way.

    DiffAugment (Zhao et al. 2020, Differentiable augmentation for data-efficient GAN training,
    section 4): few images cannot be learnt by heart, and nothing of it shows in the fakes, as long
    as reals and fakes are treated alike and the gradient passes through.

    Args:
        images: float (B, C, H, W) in [0, 1].
        kinds: of `colour` (brightness by up to 0.25 up or down, saturation times 0 to 2, contrast
            times 0.5 to 1.5), `translation` (by up to an eighth of a side) and `cutout` (a square
            of half a side), done in this order.
        draws: uniform in [0, 1), (B, NUMBERS).

    Returns:
        As `images`, grey where nothing is left; colours may leave [0, 1].
    """
    if not kinds:
        return images
    # Centred, so that what is shifted in or cut out is 0: grey, as with the paper's [-1, 1].
    maps = images - 0.5
    if "colour" in kinds:
        maps = _recolour(maps, *draws[:, :3].view(-1, 3, 1, 1, 1).unbind(1))
    for axis, side in ((2, images.shape[2]), (3, images.shape[3])):
        if "translation" in kinds:
            maps = _translate(maps, axis, side, draws[:, 1 + axis])
    if "cutout" in kinds:
        maps = _cut(maps, draws[:, 5], draws[:, 6])
    return maps + 0.5


def _recolour(maps: Tensor, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Tensor:
    maps = maps + (brightness - 0.5) / 2
    grey = maps.mean(1, keepdim=True)
    maps = grey + (maps - grey) * 2 * saturation
    level = maps.mean((1, 2, 3), keepdim=True)
    return level + (maps - level) * (contrast + 0.5)


def _translate(maps: Tensor, axis: int, side: int, draw: Tensor) -> Tensor:
    """Along an axis, by a matrix of ones on a diagonal, whose gradient sums in a fixed order."""
    most = int(side * _SHIFT + 0.5)
    shift = (draw * (2 * most + 1)).floor() - most
    places = torch.arange(side, device=maps.device)
    source = places - shift[:, None]  # of each place, (B, side)
    matrix = (source[:, :, None] == places).to(maps.dtype)[:, None]
    return matrix @ maps if axis == 2 else maps @ matrix.mT


def _cut(maps: Tensor, across: Tensor, down: Tensor) -> Tensor:
    """The centre of the square is anywhere in the image, so that part of it may lie outside."""
    inside = []
    for side, draw in zip(maps.shape[2:], (down, across), strict=True):
        size = int(side * _CUT + 0.5)
        first = (draw * (side + 1 - size % 2)).floor()[:, None] - size // 2
        places = torch.arange(side, device=maps.device)
        inside.append((places >= first) & (places < first + size))
    rows, columns = inside
    return maps * ~(rows[:, None, :, None] & columns[:, None, None, :])
