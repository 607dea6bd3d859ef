"""Grids and strips of images, pixel for pixel; the page enlarges them without smoothing."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sharpvae.report.evidence import Images
from sharpvae.report.palette import Theme

LEAST = 64  # pixels that an image should measure at the least, as shown
_GRID = 340  # pixels of a grid's width, as shown: three grids fit side by side, one on a phone
_STRIP = 820  # pixels of a strip's width, as shown
_GAP = 1  # pixels between images, before enlargement
_LABEL = 26  # pixels for a line of text on a sheet
_MARGIN = 12


@dataclass(frozen=True)
class Picture:
    """A PNG and the size at which to show it, a whole multiple of its own."""

    png: bytes
    width: int
    height: int


def enlargement(size: int) -> int:
    """The whole factor that makes an image of `size` pixels at least LEAST wide."""
    return max(1, -(-LEAST // size))


def grid_columns(size: int) -> int:
    """Images in a row of a grid."""
    return min(5, max(2, _GRID // ((size + _GAP) * enlargement(size))))


def strip_length(size: int) -> int:
    """Images in a strip."""
    return min(12, max(4, _STRIP // ((size + _GAP) * enlargement(size))))


def tile(images: Images, columns: int) -> NDArray[np.uint8]:
    """Lay images out row by row with transparent gaps.

    uint8 [N, H, W, C], C 1 or 3 => uint8 [height, width, 4], RGBA
    """
    count, height, width, _ = images.shape
    rows, columns = -(-count // columns), min(columns, count)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 4)
    canvas = np.zeros(shape, np.uint8)
    for index, image in enumerate(images):
        y, x = index // columns * (height + _GAP), index % columns * (width + _GAP)
        canvas[y : y + height, x : x + width, :3] = image  # grey spreads over the three channels
        canvas[y : y + height, x : x + width, 3] = 255
    return canvas


def grid(images: Images) -> Picture:
    """The first images as a square grid."""
    size = images.shape[2]
    columns = grid_columns(size)
    return _picture(tile(images[: columns * columns], columns), enlargement(size))


def strip(images: Images) -> Picture:
    """The first images in one row."""
    size = images.shape[2]
    count = strip_length(size)
    return _picture(tile(images[:count], count), enlargement(size))


def embedded(png: bytes) -> Picture:
    """A picture that an earlier stage made, enlarged by a whole factor where it is small."""
    with Image.open(io.BytesIO(png)) as image:
        factor = max(1, 640 // image.width)
        return Picture(png, image.width * factor, image.height * factor)


def sheet_of_grids(labelled: Sequence[tuple[str, Images]], theme: Theme) -> bytes:
    """Square grids side by side, at most four in a row, each below its label, as a PNG."""
    blocks = [(label, _enlarged(grid(images))) for label, images in labelled]
    return _sheet(blocks, min(4, len(blocks)), theme)


def sheet_of_strips(labelled: Sequence[tuple[str, Images]], theme: Theme) -> bytes:
    """Strips one below the other, each below its label, as a PNG."""
    return _sheet([(label, _enlarged(strip(images))) for label, images in labelled], 1, theme)


def _sheet(blocks: Sequence[tuple[str, Image.Image]], columns: int, theme: Theme) -> bytes:
    width = max(block.width for _, block in blocks) + _MARGIN
    height = max(block.height for _, block in blocks) + _LABEL + _MARGIN
    rows = -(-len(blocks) // columns)
    sheet = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), theme.paper)
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)  # comes with Pillow: the same letters on every machine
    for index, (label, block) in enumerate(blocks):
        x, y = _MARGIN + index % columns * width, _MARGIN + index // columns * height
        draw.text((x, y), _shortened(label, font, block.width), theme.ink, font)
        sheet.paste(block, (x, y + _LABEL), block)
    return _png(sheet)


def _shortened(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`label`, its end cut off where it would run into the next picture."""
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(f"{label}...") > width:
        label = label[:-1]
    return f"{label}..."


def _enlarged(picture: Picture) -> Image.Image:
    with Image.open(io.BytesIO(picture.png)) as image:
        size = (picture.width, picture.height)
        return image.convert("RGBA").resize(size, Image.Resampling.NEAREST)


def _picture(pixels: NDArray[np.uint8], factor: int) -> Picture:
    height, width = pixels.shape[:2]
    return Picture(_png(Image.fromarray(pixels)), width * factor, height * factor)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()
