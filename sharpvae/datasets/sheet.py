"""A contact sheet of training images: rows by class, drawn with Pillow alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sharpvae.datasets.packed import Card, Split

_COLUMNS, _MAX_ROWS = 10, 20
_TILE, _LARGEST, _GAP, _MARGIN, _TITLE = 72, 96, 6, 24, 64  # pixels
_PAPER, _INK, _FAINT = (250, 250, 248), (32, 33, 36), (110, 113, 118)
_LONGEST = 18  # characters of a class name


def contact_sheet(card: Card, train: Split) -> Image.Image:
    """The first training images, which stand in random order.

    Returns:
        an RGB image: ten images a row, one row a class (at most 20), ten rows without labels.
    """
    rows = _rows(card, train)
    title, small = ImageFont.load_default(20), ImageFont.load_default(13)
    left = _MARGIN
    if card.class_names:
        names = [_short(name) for name, _ in rows]
        left += round(max(small.getlength(name) for name in names)) + 2 * _GAP
    side = _side(card.image_size)
    step = side + _GAP
    width = left + _COLUMNS * step - _GAP + _MARGIN
    sheet = Image.new("RGB", (width, _TITLE + len(rows) * step - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 14), card.title, _INK, title)
    draw.text((_MARGIN, 40), _caption(card, len(rows)), _FAINT, small)
    for row, (name, indices) in enumerate(rows):
        top = _TITLE + row * step
        if card.class_names:
            draw.text((left - 2 * _GAP, top + side / 2), _short(name), _INK, small, anchor="rm")
        for column, index in enumerate(indices):
            sheet.paste(_tile(train.images[index], side), (left + column * step, top))
    return sheet


def _rows(card: Card, train: Split) -> list[tuple[str, NDArray[np.int64]]]:
    """Name and indices of each row."""
    if train.labels is None or card.class_names is None:
        order = np.arange(min(len(train.images), _COLUMNS * _COLUMNS))
        starts = range(0, len(order), _COLUMNS)
        return [("", order[start : start + _COLUMNS]) for start in starts]
    return [
        (name, np.flatnonzero(train.labels == label)[:_COLUMNS])
        for label, name in enumerate(card.class_names[:_MAX_ROWS])
    ]


def _caption(card: Card, rows: int) -> str:
    kind = "grey" if card.channels == 1 else "RGB"
    counts = ", ".join(f"{count} {split}" for split, count in card.counts.items())
    caption = f"{card.image_size} x {card.image_size} pixels, {kind}  |  {counts}"
    if card.class_names and len(card.class_names) > rows:
        caption += f"  |  {rows} of {len(card.class_names)} classes"
    return caption


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else name[: _LONGEST - 3] + "..."


def _side(image_size: int) -> int:
    """About 72 pixels, and a whole multiple where images are small: pixels stay square."""
    return min(_LARGEST, image_size * max(1, round(_TILE / image_size)))


def _tile(image: NDArray[np.uint8], side: int) -> Image.Image:
    """uint8 [H, W, C] => RGB of `side` x `side`; enlarged pixels stay hard"""
    picture = Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else np.asarray(image))
    enlarged = image.shape[0] < side
    kind = Image.Resampling.NEAREST if enlarged else Image.Resampling.BICUBIC
    return picture.convert("RGB").resize((side, side), kind)
