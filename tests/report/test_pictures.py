from __future__ import annotations

import io
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from sharpvae.images.tiles import tile
from sharpvae.report.canvas import Panel, inline
from sharpvae.report.figures import _log_edges, _share
from sharpvae.report.pictures import (
    LEAST,
    embedded,
    enlargement,
    grid,
    grids,
    opaque,
    pairs,
    sheet,
    strip,
)
from sharpvae.report.theme import DARK, LIGHT, Theme
from tests.report.tree import blobs


@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_hold_the_images_unchanged(channels: int) -> None:
    images = blobs(5, channels)
    canvas = tile(opaque(images), 3, 1, 0)
    assert canvas.shape == (65, 98, 4)
    assert (canvas[:32, 33:65, :3] == images[1]).all()
    assert (canvas[33:, :32, :3] == images[3]).all()
    assert (canvas[:, 32, 3] == 0).all()
    assert (canvas[33:, 66:, 3] == 0).all(), "the sixth place is empty"


@pytest.mark.parametrize("size", [8, 28, 32, 64, 100, 256])
def test_images_are_shown_large_enough_and_fit_a_phone(size: int) -> None:
    assert size * enlargement(size) >= LEAST
    images = np.zeros((30, size, size, 1), np.uint8)
    picture = grid(images)
    inner = Image.open(io.BytesIO(picture.png))
    assert (picture.width, picture.height) == tuple(enlargement(size) * n for n in inner.size)
    assert picture.width <= 358 or size > 100
    assert strip(images).height == size * enlargement(size)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_grids_stand_in_one_row(count: int) -> None:
    gap, page = 20, 1128  # CSS pixels; 73rem less its padding
    widths = [grids(count)(blobs(30, 1)).width] * count
    assert sum(widths) + gap * (count - 1) <= page


def test_fewer_images_than_places() -> None:
    assert grid(blobs(1, 3)).width == 64
    assert strip(blobs(2, 3)).width == 130


def test_samples_stand_above_what_they_are_like() -> None:
    images = blobs(6, 1)
    pixels = np.asarray(Image.open(io.BytesIO(pairs(images).png)))
    assert (pixels[33:, :32, 0] == images[3, :, :, 0]).all()


def test_small_embedded_pictures_grow_by_a_whole_factor() -> None:
    buffer = io.BytesIO()
    Image.new("L", (200, 50)).save(buffer, "PNG")
    picture = embedded(buffer.getvalue())
    assert (picture.width, picture.height) == (600, 150)


def test_sheets() -> None:
    labelled = [(name, blobs(30, 1)) for name in ("real", "a", "b" * 90, "c", "d")]
    grids = Image.open(io.BytesIO(sheet(labelled, grid, 4, LIGHT)))
    strips = Image.open(io.BytesIO(sheet(labelled, strip, 1, LIGHT)))
    assert grids.mode == strips.mode == "RGB"
    assert grids.width > 4 * 320
    assert strips.height > 5 * 64


def sketch(axes: Axes, theme: Theme) -> None:
    axes.plot([0.005, 0.0101234], [1, 2], "o-", color=theme.colour(1))
    axes.set_xticks([0.005, 0.010123], ["0.005", "<0.010123>"])
    axes.axhline(1.5, color=theme.real)


def test_a_chart_in_the_page_has_its_colours_and_keeps_its_numbers() -> None:
    drawn = inline(Panel("", "", sketch), "one")
    assert drawn == inline(Panel("", "", sketch), "one")
    root = ElementTree.fromstring(f'<svg xmlns:xlink="x">{drawn}</svg>')
    texts = {element.text for element in root.iter("text")}
    assert {"0.005", "<0.010123>"} <= texts
    used = set(re.findall(r"(?:fill|stroke): ?([^;\"]+)", drawn))
    assert used == {"none", "var(--s1)", "var(--real)", "var(--quiet)", "var(--rule)"}
    assert not re.search("#[0-9a-f]{6}", drawn)


def test_charts_in_one_page_do_not_share_their_marks() -> None:
    one, two = (
        set(re.findall(r' id="([^"]+)"', inline(Panel("", "", sketch), name)))
        for name in ("one", "two")
    )
    assert one and two and not one & two


def luminance(colour: str) -> float:
    linear = [
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_colours_can_be_told_from_their_ground(theme: object) -> None:
    assert theme in (LIGHT, DARK)
    chosen = LIGHT if theme is LIGHT else DARK
    assert contrast(chosen.ink, chosen.paper) > 7
    assert contrast(chosen.quiet, chosen.paper) > 4.5
    assert all(contrast(colour, chosen.paper) > 3 for colour in (chosen.real, *chosen.series))
    assert len(set(chosen.series)) == 10


def test_every_image_counts_in_the_histogram() -> None:
    values = np.array([0.0, 1e-9, 0.01, 0.02, 0.5])
    edges = _log_edges([values, np.array([0.1, 0.2])])
    assert _share(values, edges).sum() == pytest.approx(1)
    assert (np.diff(np.log(edges)) > 0).all()


@pytest.mark.parametrize("values", [[0.0, 0.0], [0.3], [0.3, 0.3]])
def test_edges_of_images_that_are_all_alike(values: list[float]) -> None:
    edges = _log_edges([np.array(values)])
    assert _share(np.array(values), edges).sum() == pytest.approx(1)
