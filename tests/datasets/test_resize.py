from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from sharpvae.datasets.resize import Fit, fit_square
from tests.datasets.samples import colourful

sides = st.integers(1, 40)


@given(sides, sides, st.integers(1, 32), st.sampled_from(["pad", "crop", "stretch"]))
@settings(deadline=None)
def test_always_square_and_of_the_same_mode(width: int, height: int, size: int, fit: Fit) -> None:
    for mode in ("L", "RGB"):
        image = colourful(0, (width, height)).convert(mode)
        result = fit_square(image, size, fit)
        assert result.size == (size, size)
        assert result.mode == mode


@given(sides, sides, st.sampled_from(["pad", "crop", "stretch"]), st.integers(0, 255))
@settings(deadline=None)
def test_a_uniform_image_keeps_its_grey_level(
    width: int, height: int, fit: Fit, level: int
) -> None:
    pixels = np.asarray(fit_square(Image.new("L", (width, height), level), 16, fit))
    assert set(np.unique(pixels)) <= ({level, 0} if fit == "pad" else {level})


@given(st.integers(1, 16), st.integers(1, 16))
@settings(deadline=None)
def test_pad_keeps_every_pixel_of_a_small_image_and_centres_it(width: int, height: int) -> None:
    image = np.asarray(colourful(1, (width, height)))
    padded = np.asarray(fit_square(Image.fromarray(image), 16, "pad"))
    top, left = (16 - height) // 2, (16 - width) // 2
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[top : top + height, left : left + width] = image
    np.testing.assert_array_equal(padded, expected)


def test_pad_keeps_the_aspect_of_a_large_image() -> None:
    pixels = np.asarray(fit_square(Image.new("L", (64, 32), 255), 16, "pad"))
    assert (pixels[4:12] == 255).all()
    assert not pixels[:4].any()
    assert not pixels[12:].any()


@pytest.mark.parametrize("size", [(31, 20), (20, 31), (8, 9), (64, 64)])
def test_crop_is_what_pillow_s_own_fit_does(size: tuple[int, int]) -> None:
    image = colourful(2, size)
    expected = ImageOps.fit(image, (16, 16), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(fit_square(image, 16, "crop"), expected)


def test_crop_keeps_the_centre() -> None:
    pixels = np.zeros((16, 48), np.uint8)
    pixels[:, 16:32] = 255
    assert (np.asarray(fit_square(Image.fromarray(pixels), 16, "crop")) > 240).all()


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_shrinking_averages_rather_than_picks(fit: Fit) -> None:
    """A one-pixel checkerboard becomes grey; without antialiasing it would stay black or white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    pixels = np.asarray(fit_square(Image.fromarray(board), 16, fit), dtype=float)
    assert np.abs(pixels - 127.5).max() < 3


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_an_image_of_the_right_size_is_left_alone(fit: Fit) -> None:
    image = colourful(3, (16, 16))
    np.testing.assert_array_equal(fit_square(image, 16, fit), image)
