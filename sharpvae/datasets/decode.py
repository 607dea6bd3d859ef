"""One image file -> grey or RGB pixels, whatever it was saved as."""

from __future__ import annotations

import struct
import threading
import warnings
from io import BytesIO
from types import TracebackType

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Exif

Pixels = NDArray[np.uint8]  # [H, W, C] with C 1 (grey) or 3 (RGB)

# Raster formats that Pillow decodes itself: never EPS or others that start another program.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}
_BACKGROUND = (255, 255, 255, 255)
_SIXTEEN_BIT = 65535
_JPEG_START = b"\xff\xd8"
_JPEG_SPACES = {"YCbCr": "RGB", "RGB": "RGB", "Gray": "GRAY"}
_JPEG_APP1 = b"\xff\xe1"  # starts EXIF and XMP, which may tell an orientation; in no pixel data


class UnusableImageError(Exception):
    """A file that is no image one can train on; its text says why."""


def decode(data: bytes, at_least: int | None = None) -> Pixels:
    """Decode an image file.

    The EXIF orientation is applied. Transparent images are composited on white, for which most
    cut-out pictures are drawn. 16-bit grey is scaled to 8 bits, CMYK and palettes become RGB or
    grey. Of an animation the first frame counts.

    Args:
        at_least: a JPEG may be decoded at a half, a quarter or an eighth of its size, which takes
            a fraction of the time, where that divides both sides and they keep this many pixels.

    Returns:
        uint8 [H, W, C].

    Raises:
        UnusableImageError: not an image, damaged, or of more pixels than Pillow deems safe.
    """
    if not data:
        raise UnusableImageError("an empty file")
    try:
        pixels = _jpeg(data, at_least) if data.startswith(_JPEG_START) else None
        return _pillow(data) if pixels is None else pixels
    except Image.DecompressionBombError:
        raise _bomb() from None
    except UnidentifiedImageError:
        raise UnusableImageError("not an image") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError,
            struct.error, OverflowError, MemoryError) as error:  # fmt: skip
        # Pillow's decoders raise all of these on damaged files.
        raise UnusableImageError(f"a damaged image: {error}") from None


def _jpeg(data: bytes, at_least: int | None) -> Pixels | None:
    """The pixels of a plain JPEG, by libjpeg-turbo without the detour through Pillow.

    Little more than half of Pillow's time for the same pixels. None where libjpeg finds anything
    odd, and for CMYK: there Pillow is the judge.
    """
    try:
        height, width, stored, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(height, width)
        space = _JPEG_SPACES.get(stored)
        if space is None:
            return None
        part = _reduction(height, width, at_least)
        pixels = simplejpeg.decode_jpeg(
            data, colorspace=space, min_height=height // part, min_width=width // part, min_factor=1
        )
    except ValueError:
        return None
    if _JPEG_APP1 not in data:
        return np.asarray(pixels)
    with _QUIET, Image.open(BytesIO(data), formats=("JPEG",)) as image:
        return _upright(np.asarray(pixels), image.getexif().get(Exif.Orientation))


def _reduction(height: int, width: int, at_least: int | None) -> int:
    """By which factor a JPEG may be decoded smaller: 8, 4, 2 or 1.

    Only one that divides both sides: libjpeg rounds others up, and the last row or column would
    then be pulled into the picture.
    """
    if at_least is None:
        return 1
    fits = (
        factor
        for factor in (8, 4, 2)
        if height % factor == width % factor == 0 and min(height, width) // factor >= at_least
    )
    return next(fits, 1)


def _pillow(data: bytes) -> Pixels:
    """Any other format, and any JPEG that is not plain."""
    with _QUIET, Image.open(BytesIO(data), formats=_available()) as image:
        _check_size(image.height, image.width)
        # Before the pixels are asked for: Pillow turns a TIFF by itself when it loads it.
        orientation = None if image.format == "TIFF" else image.getexif().get(Exif.Orientation)
        return _upright(_to_8_bit(image), orientation)


def _available() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _check_size(height: int, width: int) -> None:
    if Image.MAX_IMAGE_PIXELS is not None and height * width > Image.MAX_IMAGE_PIXELS:
        raise _bomb()


def _bomb() -> UnusableImageError:
    limit = Image.MAX_IMAGE_PIXELS or 0
    return UnusableImageError(f"more than {limit} pixels: a decompression bomb?")


class _Quiet:
    """Silences Pillow: many files in the wild have sloppy metadata.

    `warnings.catch_warnings` alone is not safe where threads enter and leave it in any order.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._outer = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._outer = warnings.catch_warnings()
                self._outer.__enter__()
                warnings.simplefilter("ignore")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._outer.__exit__(None, None, None)


_QUIET = _Quiet()


def _to_8_bit(image: Image.Image) -> Pixels:
    """Any mode => [H, W, 1 or 3]"""
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise UnusableImageError("floating-point pixels, which do not say what white is")
    if image.mode in _ALPHA or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, _BACKGROUND)
        opaque.alpha_composite(image.convert("RGBA"))
        return np.asarray(opaque.convert("RGB"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


def _from_16_bit(image: Image.Image) -> Pixels:
    """Pillow's own conversion clips at 255; this one scales 65535 to 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _SIXTEEN_BIT:
        raise UnusableImageError("32-bit pixels, which do not say what white is")
    return ((values + 128) // 257).astype(np.uint8)[:, :, None]


def _upright(pixels: Pixels, orientation: int | None) -> Pixels:
    """Apply the EXIF orientation, 1..8; anything else counts as upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels
