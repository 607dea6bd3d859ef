from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from sharpvae.datasets.decode import Fit, centre, fit_square
from tests.datasets.samples import colourful, smooth

sides = st.integers(1, 40)


def fitted(image: np.ndarray | Image.Image, size: int, fit: Fit) -> np.ndarray:
    """One image, grey ones as [H, W]."""
    pixels = np.asarray(image)
    result = fit_square(pixels.reshape(1, *pixels.shape[:2], -1), size, fit)[0]
    return result[:, :, 0] if pixels.ndim == 2 else result


@given(sides, sides, st.integers(1, 32), st.sampled_from(["pad", "crop", "stretch"]))
@settings(deadline=None)
def test_always_square_and_of_the_same_channels(
    width: int, height: int, size: int, fit: Fit
) -> None:
    for channels in (1, 3):
        images = np.zeros((2, height, width, channels), np.uint8)
        result = fit_square(images, size, fit)
        assert result.shape == (2, size, size, channels)
        assert result.dtype == np.uint8
        assert result.flags.c_contiguous


@given(sides, sides, st.sampled_from(["pad", "crop", "stretch"]), st.integers(0, 255))
@settings(deadline=None)
def test_a_uniform_image_keeps_its_grey_level(
    width: int, height: int, fit: Fit, level: int
) -> None:
    pixels = fitted(Image.new("L", (width, height), level), 16, fit)
    assert set(np.unique(pixels)) <= ({level, 0} if fit == "pad" else {level})


@given(st.integers(1, 16), st.integers(1, 16))
@settings(deadline=None)
def test_pad_keeps_every_pixel_of_a_small_image_and_centres_it(width: int, height: int) -> None:
    image = np.asarray(colourful(1, (width, height)))
    top, left = (16 - height) // 2, (16 - width) // 2
    expected = np.zeros((16, 16, 3), np.uint8)
    expected[top : top + height, left : left + width] = image
    np.testing.assert_array_equal(fitted(image, 16, "pad"), expected)


def test_pad_keeps_the_aspect_of_a_large_image() -> None:
    pixels = fitted(Image.new("L", (64, 32), 255), 16, "pad")
    assert (pixels[4:12] == 255).all()
    assert not pixels[:4].any()
    assert not pixels[12:].any()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("size", [(31, 20), (20, 31), (8, 9), (64, 64), (128, 128), (500, 375)])
def test_within_one_level_of_pillow(size: tuple[int, int], mode: str) -> None:
    """Pillow's bicubic filter is the oracle; another order of the two passes may round apart."""
    image = smooth(size).convert(mode)
    whole = image.resize((16, 16), Image.Resampling.BICUBIC)
    assert np.abs(fitted(image, 16, "stretch").astype(int) - np.asarray(whole, int)).max() <= 1
    short = min(size)
    left, top = (size[0] - short) // 2, (size[1] - short) // 2
    middle = image.crop((left, top, left + short, top + short))
    square = middle.resize((16, 16), Image.Resampling.BICUBIC)
    assert np.abs(fitted(image, 16, "crop").astype(int) - np.asarray(square, int)).max() <= 1
    inside = ImageOps.contain(image, (16, 16), Image.Resampling.BICUBIC)
    if max(size) > 16:
        top, left = (16 - inside.height) // 2, (16 - inside.width) // 2
        part = fitted(image, 16, "pad")[top : top + inside.height, left : left + inside.width]
        assert np.abs(part.astype(int) - np.asarray(inside, int)).max() <= 1


def test_a_batch_is_its_images_one_by_one() -> None:
    images = np.stack([np.asarray(colourful(index, (30, 22))) for index in range(5)])
    for fit in ("pad", "crop", "stretch"):
        one_by_one = np.concatenate([fit_square(image[None], 16, fit) for image in images])
        np.testing.assert_array_equal(fit_square(images, 16, fit), one_by_one)


def test_crop_keeps_the_centre() -> None:
    pixels = np.zeros((16, 48), np.uint8)
    pixels[:, 16:32] = 255
    assert (fitted(pixels, 16, "crop") == 255).all()


def test_the_centre_of_images() -> None:
    images = np.arange(5 * 6, dtype=np.uint8).reshape(1, 5, 6, 1)
    assert centre(images, 3, 2)[0, :, :, 0].tolist() == [[8, 9], [14, 15], [20, 21]]
    np.testing.assert_array_equal(centre(images, 9, 9), images)


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_shrinking_averages_rather_than_picks(fit: Fit) -> None:
    """A one-pixel checkerboard becomes grey; without antialiasing it would stay black or white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    assert np.abs(fitted(board, 16, fit).astype(float) - 127.5).max() < 3


@pytest.mark.parametrize("fit", ["pad", "crop", "stretch"])
def test_an_image_of_the_right_size_is_left_alone(fit: Fit) -> None:
    image = np.asarray(colourful(3, (16, 16)))
    np.testing.assert_array_equal(fitted(image, 16, fit), image)
