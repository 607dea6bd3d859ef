"""Many small images as one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GAP = 2  # pixels between images, before enlargement
_GREY = 128
_LEAST = 48  # pixels an image should measure at the least


def tile(images: NDArray[np.uint8], columns: int, gap: int, background: int) -> NDArray[np.uint8]:
    """Lay images out row by row, `gap` pixels of `background` between them.

    uint8 (N, H, W, C) => uint8 (height, width, C)
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, channels)
    canvas = np.full(shape, background, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * (height + gap), index % columns * (width + gap)
        canvas[y : y + height, x : x + width] = image
    return canvas


def grid(images: NDArray[np.uint8], columns: int) -> Image.Image:
    """Lay images out row by row on mid-grey, enlarged by a whole factor without smoothing.

    uint8 (N, H, W, C), C 1 or 3 => an RGB picture
    """
    border = ((_GAP, _GAP), (_GAP, _GAP), (0, 0))
    canvas = np.pad(tile(images, columns, _GAP, _GREY), border, constant_values=_GREY)
    picture = Image.fromarray(canvas.repeat(3 // canvas.shape[2], axis=2))
    scale = max(1, -(-_LEAST // images.shape[2]))
    return picture.resize((picture.width * scale, picture.height * scale), Image.Resampling.NEAREST)


def pairs(
    images: NDArray[np.uint8], reconstructions: NDArray[np.uint8], columns: int
) -> Image.Image:
    """Rows of images, each with the row of their reconstructions below it.

    uint8 (N, H, W, C) twice, N a multiple of `columns` => an RGB picture
    """
    shape = (-1, columns, *images.shape[1:])
    both = np.stack([images.reshape(shape), reconstructions.reshape(shape)], axis=1)
    return grid(both.reshape(-1, *images.shape[1:]), columns)
