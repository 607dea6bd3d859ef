"""Many small images as one picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_GAP = 2  # pixels between images, before enlargement
_LEAST = 48  # pixels an image should measure at the least


def grid(images: NDArray[np.uint8], columns: int) -> Image.Image:
    """Lay images out row by row on mid-grey, enlarged by a whole factor without smoothing.

    uint8 (N, H, W, C), C 1 or 3 => an RGB picture
    """
    count, height, width, channels = images.shape
    rows = -(-count // columns)
    canvas = np.full(
        (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels), 128, np.uint8
    )
    for index, image in enumerate(images):
        y = _GAP + index // columns * (height + _GAP)
        x = _GAP + index % columns * (width + _GAP)
        canvas[y : y + height, x : x + width] = image
    picture = Image.fromarray(canvas.repeat(3, axis=2) if channels == 1 else canvas)
    scale = max(1, -(-_LEAST // width))
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
