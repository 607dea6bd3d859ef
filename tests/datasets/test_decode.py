from __future__ import annotations

import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sharpvae.datasets.decode import UnusableImageError, decode, fit_square
from tests.datasets.samples import colourful, encoded, smooth


def pixels(data: bytes) -> np.ndarray:
    """Grey without its third dimension, as Pillow has it."""
    found = decode(data)
    assert found.dtype == np.uint8
    assert found.shape[2] in (1, 3)
    return found[:, :, 0] if found.shape[2] == 1 else found


def test_rgb_and_grey_come_back_as_they_are() -> None:
    image = colourful(0)
    np.testing.assert_array_equal(pixels(encoded(image)), image)
    grey = image.convert("L")
    np.testing.assert_array_equal(pixels(encoded(grey)), grey)


def test_a_palette_becomes_its_colours() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert pixels(encoded(image)).tolist() == [[[255, 0, 0], [0, 0, 255]]]
    assert pixels(encoded(image, transparency=1)).tolist() == [[[255, 0, 0], [255, 255, 255]]]


def test_transparency_shows_white() -> None:
    image = Image.new("RGBA", (3, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (200, 0, 0, 0))
    image.putpixel((2, 0), (200, 0, 0, 51))  # a fifth opaque: 0.2 * 200 + 0.8 * 255 = 244
    assert pixels(encoded(image)).tolist() == [[[200, 0, 0], [255] * 3, [244, 204, 204]]]
    grey = Image.new("LA", (1, 1), (0, 0))
    assert pixels(encoded(grey)).tolist() == [[[255] * 3]]


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    levels = np.array([[0, 128, 129, 257, 32768, 65535]], dtype=np.uint16)
    expected = [[round(level / 257) for level in levels[0].tolist()]]
    for kind in ("PNG", "TIFF"):
        assert pixels(encoded(Image.fromarray(levels), kind)).tolist() == expected


def test_cmyk_inks_become_colours() -> None:
    """Magenta and yellow ink make red, full black ink black, in TIFF and in JPEG."""
    for ink, expected in [((0, 255, 255, 0), [255, 0, 0]), ((0, 0, 0, 255), [0, 0, 0])]:
        for kind in ("TIFF", "JPEG"):
            found = decode(encoded(Image.new("CMYK", (8, 8), ink), kind)).astype(int)
            assert np.abs(found[4, 4] - expected).max() <= 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    """What each value means is written out by hand, after the EXIF standard."""
    upright = np.asarray(colourful(4, (5, 3)))
    stored = {
        1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1],
        5: upright.transpose(1, 0, 2), 6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2), 8: np.rot90(upright, -1),
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), exif=exif.tobytes())
    np.testing.assert_array_equal(pixels(data), upright)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "quality": 30}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpegs_are_what_pillow_makes_of_them(mode: str, options: dict[str, object]) -> None:
    for size in ((64, 48), (7, 33)):
        data = encoded(smooth(size).convert(mode), "JPEG", **options)
        np.testing.assert_array_equal(pixels(data), Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_large_jpeg_may_be_decoded_smaller(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(smooth((400, 640)), "JPEG", quality=95, exif=exif.tobytes())
    shapes = {
        least: decode(data, least).shape[:2] for least in (None, 400, 201, 200, 100, 60, 50, 1)
    }
    upright = {
        None: (640, 400), 400: (640, 400), 201: (640, 400), 200: (320, 200), 100: (160, 100),
        60: (160, 100), 50: (80, 50), 1: (80, 50),
    }  # fmt: skip
    assert shapes == {k: v if orientation == 1 else v[::-1] for k, v in upright.items()}


@pytest.mark.parametrize("size", [(1000, 1000), (700, 700), (701, 699), (520, 520), (640, 480)])
def test_decoded_smaller_or_not_the_picture_is_the_same(size: tuple[int, int]) -> None:
    """Once it has the size wanted, which is a quarter of what a reduced one keeps."""
    data = encoded(smooth(size), "JPEG", quality=90)
    whole, reduced = (fit_square(decode(data, least)[None], 64, "crop") for least in (None, 256))
    difference = np.abs(whole.astype(int) - reduced.astype(int))
    assert difference.max() <= 2
    assert difference.mean() < 0.4


def test_a_jpeg_that_libjpeg_finds_odd_is_left_to_pillow() -> None:
    """Bytes after the end marker's scan: a warning of libjpeg, nothing to Pillow."""
    data = encoded(smooth((32, 32)), "JPEG")
    odd = data[:-2] + b"\x00\x11\x22" + data[-2:]
    np.testing.assert_array_equal(pixels(odd), Image.open(io.BytesIO(odd)))


def test_one_bit_images_are_black_and_white() -> None:
    image = Image.fromarray(np.array([[True, False]]))
    assert pixels(encoded(image)).tolist() == [[255, 0]]


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.new("L", (4, 4), level) for level in (10, 200)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (pixels(data) == 10).all()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "an empty file"),
        (b"# a list of labels\n", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "not an image"),
        (encoded(colourful(0, (64, 64)))[:500], "a damaged image"),
        (encoded(colourful(0, (64, 64)), "JPEG")[:900], "a damaged image"),
        (encoded(Image.fromarray(np.zeros((2, 2), np.float32)), "TIFF"), "floating-point"),
        (encoded(Image.fromarray(np.full((2, 2), 1 << 20, np.int32)), "TIFF"), "32-bit"),
    ],
)
def test_what_is_no_usable_image_is_told(data: bytes, reason: str) -> None:
    with pytest.raises(UnusableImageError, match=reason):
        decode(data)


@pytest.mark.parametrize("limit", [70, 30])
def test_a_decompression_bomb_is_not_unpacked(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Above Pillow's limit (which it only warns of) and above twice the limit (an error)."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(UnusableImageError, match=f"more than {limit} pixels"):
        decode(encoded(colourful(0, (10, 10))))


@pytest.mark.parametrize(("kind", "share"), [("AVIF", 2), ("JPEG2000", 4), ("WEBP", 2)])
def test_formats_that_take_most_memory_may_have_fewer_pixels(
    kind: str, share: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At Pillow's limit of 89 million a file of 160 kB took 2.2 GB and five seconds."""
    data = encoded(colourful(0, (10, 10)), kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100 * share)
    assert decode(data).shape == (10, 10, 3)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 99 * share)
    with pytest.raises(UnusableImageError, match="more than 99 pixels"):
        decode(data)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "1", "P", "I;16", "CMYK"])
def test_in_bands_or_at_once_the_pixels_are_the_same(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 16-bit image of 89 million pixels took 1.6 GB at once, and takes 0.3 in bands."""
    image = (
        Image.fromarray(np.arange(300, dtype=np.uint16).reshape(15, 20) * 200)
        if mode == "I;16"
        else colourful(3, (20, 15)).convert(mode)
    )
    options = {"transparency": 3} if mode == "P" else {}
    data = encoded(image, "TIFF" if mode == "CMYK" else "PNG", **options)
    whole = decode(data)
    for pixels in (1, 20, 65, 299):
        monkeypatch.setattr("sharpvae.datasets.decode._BAND", pixels)
        np.testing.assert_array_equal(decode(data), whole)


PNG, JPEG = encoded(colourful(5)), encoded(colourful(5), "JPEG")


@given(st.sampled_from([PNG, JPEG]), st.data())
@settings(max_examples=200, deadline=None)
def test_a_damaged_file_gives_an_image_or_a_reason(data: bytes, draw: st.DataObject) -> None:
    """Never another exception, and never a warning."""
    damaged = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        damaged[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with contextlib.suppress(UnusableImageError):  # as good an answer
            assert decode(bytes(damaged)).shape[2] in (1, 3)


@pytest.mark.parametrize(("size", "usable"), [
    ((1600, 16), True), ((16, 1600), True), ((1601, 16), False), ((31, 1_000_000), False),
    ((8_000_000, 1), False),
])  # fmt: skip
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_from_an_aspect_ratio_of_100_on_an_image_is_refused(
    size: tuple[int, int], usable: bool, kind: str
) -> None:
    if kind == "JPEG" and max(size) > 65_500:
        pytest.skip("no JPEG is so long")
    data = encoded(Image.new("L", size), kind)
    if usable:
        assert decode(data).shape[:2] == size[::-1]
    else:
        with pytest.raises(UnusableImageError, match=rf"{size[0]}x{size[1]}: .* 100 times"):
            decode(data)


def test_a_damaged_avif_is_a_damaged_image() -> None:
    """Flipping any one byte gives an image or a reason, never another error."""
    data = encoded(smooth((32, 24)), "AVIF")
    reasons = []
    for place in range(0, len(data), 3):
        broken = bytearray(data)
        broken[place] ^= 0xFF
        try:
            decode(bytes(broken))
        except UnusableImageError as error:
            reasons.append(str(error))
    assert any("a damaged image: " in reason for reason in reasons)
