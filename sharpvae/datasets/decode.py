"""One image file -> grey or RGB pixels, whatever it was saved as."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Raster formats that Pillow decodes itself: never EPS or others that start another program.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}
_BACKGROUND = (255, 255, 255, 255)
_SIXTEEN_BIT = 65535


class UnusableImageError(Exception):
    """A file that is no image one can train on; its text says why."""


def decode(data: bytes) -> Image.Image:
    """Decode an image file.

    The EXIF orientation is applied. Transparent images are composited on white, for which most
    cut-out pictures are drawn. 16-bit grey is scaled to 8 bits, CMYK and palettes become RGB or
    grey. Of an animation the first frame counts.

    Returns:
        an image of mode L or RGB; L whenever all three channels are equal.

    Raises:
        UnusableImageError: not an image, damaged, or of more pixels than Pillow deems safe.
    """
    if not data:
        raise UnusableImageError("an empty file")
    try:
        with warnings.catch_warnings():
            # Many files in the wild have sloppy metadata; only the size warning matters here.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(BytesIO(data), formats=_available()) as image:
                return _grey_if_grey(_to_8_bit(ImageOps.exif_transpose(image)))
    except UnusableImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = Image.MAX_IMAGE_PIXELS or 0
        raise UnusableImageError(f"more than {limit} pixels: a decompression bomb?") from None
    except UnidentifiedImageError:
        raise UnusableImageError("not an image") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError,
            struct.error, OverflowError, MemoryError) as error:  # fmt: skip
        # Pillow's decoders raise all of these on damaged files.
        raise UnusableImageError(f"a damaged image: {error}") from None


def _available() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Any mode => L or RGB"""
    if image.mode.startswith("I"):
        return _from_16_bit(image)
    if image.mode == "F":
        raise UnusableImageError("floating-point pixels, which do not say what white is")
    if image.mode in _ALPHA or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, _BACKGROUND)
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _from_16_bit(image: Image.Image) -> Image.Image:
    """Pillow's own conversion clips at 255; this one scales 65535 to 255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > _SIXTEEN_BIT:
        raise UnusableImageError("32-bit pixels, which do not say what white is")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def _grey_if_grey(image: Image.Image) -> Image.Image:
    """RGB with three equal channels => L"""
    if image.mode == "L":
        return image
    red, green, blue = image.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else image
