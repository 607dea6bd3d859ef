"""Many images as one picture."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sharpvae.images.tiles import tile
from sharpvae.report.theme import Theme

Images = NDArray[np.uint8]

LEAST = 64  # pixels that an image should measure at the least, as shown
_GRID = 340  # pixels of a grid's width, as shown: three grids fit side by side, one on a phone
_NARROW = 265  # where there are more: four fit
_STRIP = 820  # pixels of a strip's width, as shown
_GAP = 1  # pixels between images, before enlargement
_LABEL = 26  # pixels for a line of text on a sheet
_MARGIN = 12


class EmbeddedImage(NamedTuple):
    """A PNG and the size at which to show it, a whole multiple of its own."""

    png: bytes
    width: int
    height: int


Lay = Callable[[Images], EmbeddedImage]  # many images as one picture: `grid` or `strip`


def enlargement(size: int) -> int:
    """The whole factor that makes an image of `size` pixels at least LEAST wide."""
    return max(1, -(-LEAST // size))


def grid(images: Images, width: int = _GRID) -> EmbeddedImage:
    """The first images as a square grid, at most `width` wide as shown, or two images."""
    size = images.shape[2]
    columns = min(5, max(2, width // ((size + _GAP) * enlargement(size))))
    return tiled(images[: columns * columns], columns)


def grids(count: int) -> Lay:
    """`grid`, so narrow that `count` of them stand in one row where that is possible."""
    return grid if count <= 3 else partial(grid, width=_NARROW)


def strip(images: Images) -> EmbeddedImage:
    """The first images in one row."""
    size = images.shape[2]
    count = min(12, max(4, _STRIP // ((size + _GAP) * enlargement(size))))
    return tiled(images[:count], count)


def pairs(images: Images) -> EmbeddedImage:
    """The first half of the images in one row above the second half."""
    return tiled(images, max(1, len(images) // 2))


def tiled(images: Images, columns: int, factor: int = 0) -> EmbeddedImage:
    """Images in rows of `columns`, to be enlarged by `factor`, or if 0 as `enlargement` says."""
    factor = factor or enlargement(images.shape[2])
    pixels = tile(opaque(images), min(columns, len(images)), _GAP, 0)
    height, width = pixels.shape[:2]
    return EmbeddedImage(_png(Image.fromarray(pixels)), width * factor, height * factor)


def opaque(images: Images) -> Images:
    """uint8 [N, H, W, C], C 1 or 3 => uint8 [N, H, W, 4], RGBA"""
    colours = images.repeat(3 // images.shape[3], axis=3)
    return np.pad(colours, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=255)


def embedded(png: bytes) -> EmbeddedImage:
    """A picture that an earlier stage made, enlarged by a whole factor where it is small."""
    with Image.open(io.BytesIO(png)) as image:
        factor = max(1, 640 // image.width)
        return EmbeddedImage(png, image.width * factor, image.height * factor)


def sheet(labelled: Sequence[tuple[str, Images]], lay: Lay, columns: int, theme: Theme) -> bytes:
    """Grids or strips, as `lay` makes them, at most `columns` in a row, each below its label."""
    blocks = []
    for label, images in labelled:
        picture = lay(images)
        with Image.open(io.BytesIO(picture.png)) as image:
            shown = image.resize((picture.width, picture.height), Image.Resampling.NEAREST)
        blocks.append((label, shown))
    columns = min(columns, len(blocks))
    width = max(block.width for _, block in blocks) + _MARGIN
    height = max(block.height for _, block in blocks) + _LABEL + _MARGIN
    rows = -(-len(blocks) // columns)
    canvas = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), theme.paper)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(15)  # comes with Pillow: the same letters on every machine
    for index, (label, block) in enumerate(blocks):
        x, y = _MARGIN + index % columns * width, _MARGIN + index // columns * height
        draw.text((x, y), _shortened(label, font, block.width), theme.ink, font)
        canvas.paste(block, (x, y + _LABEL), block)
    return _png(canvas)


def _shortened(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`label`, its end cut off where it would run into the next picture."""
    shown = label
    while label and font.getlength(shown) > width:
        label = label[:-1]
        shown = f"{label}..."
    return shown


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
