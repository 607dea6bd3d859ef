"""Squares, ellipses and hearts whose factors are known, drawn when they are asked for.

After dSprites (Matthey et al. 2017), but antialiased, of any size, and small. Of dSprites'
full turn only a quarter is used: a square looks the same after it, and so every factor can be
read off every image, which no two combinations share.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sharpvae.datasets.catalogue import Entry
from sharpvae.datasets.choose import ranking
from sharpvae.datasets.decode import Pixels
from sharpvae.datasets.files import Pool

FACTORS = ("shape", "scale", "orientation", "x", "y")
VALUES = (3, 4, 12, 12, 12)  # of each factor
SHAPES = ("square", "ellipse", "heart")  # the classes

_CHOSEN = "of all combinations"  # what the random choice depends on: the set is one for all seeds
_FINE = 4  # samples a pixel, along each side
_SIZES = (0.10, 0.13, 0.16, 0.19)  # half a square's side; the image's side is 1
_FIRST, _LAST = 0.28, 0.72  # of the centres; the farthest corner of any shape is 0.27 away


def shapes_pool(entry: Entry, image_size: int) -> Pool:
    """As many combinations as the entry has images, at random, in the order of the factors.

    The choice is the same on every machine and for every seed; drawn at `image_size`, so that no
    resize follows.
    """
    count = math.prod(VALUES)
    names = [str(index) for index in range(count)]
    order = ranking([f"{name} {_CHOSEN}" for name in names], 0)
    chosen = np.sort(order[: entry.images])
    factors = np.stack(np.unravel_index(chosen, VALUES), axis=1).astype(np.int64)
    return Pool(
        place=f"data.name: {entry.name}", names=[names[index] for index in chosen.tolist()],
        image=lambda index: draw(factors[index].tolist(), image_size), labels=factors[:, 0],
        class_names=entry.class_names, factors=factors, factor_names=FACTORS,
    )  # fmt: skip


def draw(factors: Sequence[int], size: int) -> Pixels:
    """One shape, white on black, its edges softened by 4 by 4 samples a pixel.

    Args:
        factors: a value of each of `FACTORS`, from 0 and below `VALUES`: x from left to right, y
            from top to bottom, orientation counterclockwise in twelfths of a quarter turn.
        size: height and width in pixels.

    Returns:
        uint8 [size, size, 1]
    """
    shape, scale, orientation, *place = factors
    step = (_LAST - _FIRST) / (VALUES[3] - 1)
    x, y = (_FIRST + step * position for position in place)
    turn = orientation / VALUES[2] * math.pi / 2
    samples = (np.arange(size * _FINE) + 0.5) / (size * _FINE)
    right, up = (samples - x) / _SIZES[scale], (y - samples[:, None]) / _SIZES[scale]
    u = right * math.cos(turn) + up * math.sin(turn)
    v = up * math.cos(turn) - right * math.sin(turn)
    inside = _inside(SHAPES[shape], u, v).reshape(size, _FINE, size, _FINE)
    covered = inside.sum(axis=(1, 3), dtype=np.float64) / _FINE**2
    return np.asarray((255 * covered).round(), dtype=np.uint8)[..., None]


def _inside(shape: str, u: NDArray[np.float64], v: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether points lie within a shape; a square is that of -1..1, v points to a heart's lobes"""
    if shape == "square":
        return np.maximum(np.abs(u), np.abs(v)) <= 1
    if shape == "ellipse":
        return (u / 1.3) ** 2 + (v / 0.75) ** 2 <= 1
    square = u * u
    ball = square + v * v - 1
    return ball * ball * ball <= square * v * v * v
