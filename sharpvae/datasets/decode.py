"""Image files to uint8 arrays of one size, on all cores."""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Literal, TypeVar

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base as Exif

Item = TypeVar("Item")
Result = TypeVar("Result")
Pixels = NDArray[np.uint8]  # [H, W, C] with C 1 (grey) or 3 (RGB)
Images = NDArray[np.uint8]  # [N, H, W, C]
Fit = Literal["pad", "crop", "stretch"]

# Raster formats that Pillow decodes itself: never EPS or others that start another program.
_FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP")
_SHARE = {"AVIF": 2, "JPEG2000": 4, "WEBP": 2}  # of the limit, for decoders that take most memory
_ALPHA = {"RGBA", "LA", "PA", "RGBa", "La"}
_JPEG_START = b"\xff\xd8"
_JPEG_SPACES = {"YCbCr": "RGB", "RGB": "RGB", "Gray": "GRAY"}
_JPEG_APP1 = b"\xff\xe1"  # starts EXIF and XMP, which may hold an orientation; in no pixel data
_AHEAD = 3  # results a thread that wait to be consumed, so that no thread is idle
_BAND = 1 << 20  # pixels that are brought to 8 bits at a time
MAX_ASPECT = 100  # times the short side that the long one may have
_CHUNK = 64  # images of one piece of work at most,
_CHUNK_BYTES = 1 << 21  # and about so much when they are done: memory must not grow with their size
_TOGETHER = 1 << 22  # bytes of images of one size that are resized in one call
_INLINE = 256  # so few images are done before the threads have started


class UnusableImageError(Exception):
    """A file that is no image to train on; its text is the reason."""


def decode(data: bytes, at_least: int | None = None) -> Pixels:
    """Decode an image file: uint8 [H, W, C].

    The EXIF orientation is applied. Transparent images are composited on white, for which most
    cut-out pictures are drawn. 16-bit grey is scaled to 8 bits, CMYK and palettes become RGB or
    grey. Of an animation the first frame counts.

    A JPEG may be decoded at a half, a quarter or an eighth of its size, in a fraction of the time,
    where that divides both sides and they keep `at_least` pixels.

    Raises:
        UnusableImageError: not an image, damaged, of more pixels than Pillow's safe limit, or, in
            formats that take most memory, than a part of it, or one side more than `MAX_ASPECT`
            times the other.
    """
    if not data:
        raise UnusableImageError("an empty file")
    try:
        pixels = _jpeg(data, at_least) if data.startswith(_JPEG_START) else None
        return _pillow(data) if pixels is None else pixels
    except Image.DecompressionBombError:
        raise _too_large(Image.MAX_IMAGE_PIXELS) from None
    except UnidentifiedImageError:
        raise UnusableImageError("not an image") from None
    except UnusableImageError:
        raise
    except Exception as error:  # Pillow's decoders raise whatever comes on damaged files
        why = str(error) or type(error).__name__
        raise UnusableImageError(f"a damaged image: {why}") from None


def _jpeg(data: bytes, at_least: int | None) -> Pixels | None:
    """The pixels of a plain JPEG by libjpeg-turbo, in little more than half of Pillow's time.

    None where libjpeg finds anything odd, and for CMYK: there Pillow decides.
    """
    try:
        height, width, stored, _ = simplejpeg.decode_jpeg_header(data)
        _check_size(height, width)
        space = _JPEG_SPACES.get(stored)
        if space is None:
            return None
        # Only a factor that divides both sides: libjpeg rounds others up, and the last row or
        # column would then be pulled into the picture.
        whole = [factor for factor in (8, 4, 2) if height % factor == width % factor == 0]
        keep = max(height, width) if at_least is None else at_least
        part = next((factor for factor in whole if min(height, width) // factor >= keep), 1)
        pixels = simplejpeg.decode_jpeg(
            data, colorspace=space, min_height=height // part, min_width=width // part, min_factor=1
        )
    except ValueError:
        return None
    if _JPEG_APP1 not in data:
        return np.asarray(pixels)
    with _QUIET, Image.open(BytesIO(data), formats=("JPEG",)) as image:
        return _upright(np.asarray(pixels), image.getexif().get(Exif.Orientation))


def _pillow(data: bytes) -> Pixels:
    """Any other format, and any JPEG that is not plain."""
    Image.init()
    formats = [name for name in _FORMATS if name in Image.OPEN]
    with _QUIET, Image.open(BytesIO(data), formats=formats) as image:
        _check_size(image.height, image.width, _SHARE.get(image.format or "", 1))
        # Before the pixels are asked for: Pillow turns a TIFF by itself when it loads it.
        orientation = None if image.format == "TIFF" else image.getexif().get(Exif.Orientation)
        return _upright(_to_8_bit(image), orientation)


def _check_size(height: int, width: int, share: int = 1) -> None:
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > limit // share:
        raise _too_large(limit // share)
    if max(height, width) > MAX_ASPECT * min(height, width):
        raise UnusableImageError(f"{width}x{height}: one side is over {MAX_ASPECT} times the other")


def _too_large(most: int | None) -> UnusableImageError:
    return UnusableImageError(f"more than {most} pixels: a decompression bomb?")


class _Quiet:
    """Silences Pillow, for many files have odd metadata.

    `warnings.catch_warnings` alone is not safe where threads enter and leave it in any order.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._outer = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._outer.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._outer.close()


_QUIET = _Quiet()


def _to_8_bit(image: Image.Image) -> Pixels:
    """Any mode => [H, W, 1 or 3]; a few rows at a time, for from some it takes 18 bytes a pixel"""
    rows = max(1, _BAND // image.width)
    if rows >= image.height:
        return _band(image)
    pixels: Pixels | None = None
    for top in range(0, image.height, rows):
        part = _band(image.crop((0, top, image.width, min(image.height, top + rows))))
        if pixels is None:
            pixels = np.empty((image.height, image.width, part.shape[2]), np.uint8)
        pixels[top : top + rows] = part
    assert pixels is not None
    return pixels


def _band(image: Image.Image) -> Pixels:
    if image.mode.startswith("I"):  # Pillow's own conversion clips at 255
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise UnusableImageError("32-bit pixels, which do not say what white is")
        return ((values + 128) // 257).astype(np.uint8)[:, :, None]
    if image.mode == "F":
        raise UnusableImageError("floating-point pixels, which do not say what white is")
    if image.mode in _ALPHA or "transparency" in image.info:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return np.asarray(opaque.convert("RGB"))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[:, :, None]
    return np.asarray(image.convert("RGB"))


def _upright(pixels: Pixels, orientation: int | None) -> Pixels:
    """Apply the EXIF orientation, 1..8; anything else counts as upright."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


@dataclass(frozen=True, slots=True)
class Decoded:
    """One image: its pixels with their SHA-256, or why there are none."""

    index: int
    pixels: Pixels | None
    digest: bytes
    reason: str


def decoded(
    image: Callable[[int], Pixels], indices: Sequence[int], size: int, fit: Fit
) -> Iterator[list[Decoded]]:
    """Decode and resize the images `indices`, and yield them in this order, a few at a time.

    `image` is as of a `Pool`, `size` and `fit` as of `fit_square`. Pixels are uint8
    [size, size, C]; C is 1 whenever all three channels are equal.
    """
    count = min(_CHUNK, max(1, _CHUNK_BYTES // (3 * size**2)))
    chunks = [indices[start : start + count] for start in range(0, len(indices), count)]
    # The first ones here: they import PyTorch if any resize needs it, before its threads are set.
    few = chunks[: _INLINE // _CHUNK]
    yield from (_work(image, chunk, size, fit) for chunk in few)
    with _one_thread_each():
        yield from on_all_cores(lambda chunk: _work(image, chunk, size, fit), chunks[len(few) :])


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """PyTorch, where it is imported, would start a thread a core for every resize."""
    torch = sys.modules.get("torch")
    if torch is not None:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if torch is not None:
            torch.set_num_threads(before)


def _work(
    image: Callable[[int], Pixels], indices: Sequence[int], size: int, fit: Fit
) -> list[Decoded]:
    """One chunk, in order. Neighbours of one size are resized together, which is quicker."""
    done: list[Decoded] = []
    waiting: dict[int, Pixels] = {}
    for index in indices:
        try:
            pixels = image(index)
        except UnusableImageError as error:
            done += [*_resized(waiting, size, fit), Decoded(index, None, b"", str(error))]
            continue
        full = (len(waiting) + 1) * pixels.nbytes > _TOGETHER
        if full or any(other.shape != pixels.shape for other in waiting.values()):
            done += _resized(waiting, size, fit)
        waiting[index] = pixels
    return done + _resized(waiting, size, fit)


def _resized(waiting: dict[int, Pixels], size: int, fit: Fit) -> list[Decoded]:
    """Bring images of one size to squares, and clear `waiting`; grey ones get one channel."""
    if not waiting:
        return []
    squares = fit_square(np.stack(list(waiting.values())), size, fit)
    row = squares[:, 0]  # enough for nearly every photograph
    coloured = (row != row[..., :1]).any(axis=(1, 2)).tolist()
    done = []
    for index, pixels, colour in zip(waiting, squares, coloured, strict=True):
        if not (colour or pixels.shape[2] == 1 or (pixels != pixels[..., :1]).any()):
            pixels = np.ascontiguousarray(pixels[..., :1])
        done.append(Decoded(index, pixels, hashlib.sha256(pixels).digest(), ""))
    waiting.clear()
    return done


def on_all_cores(work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`work` of each item, in order, in threads; few results are held at a time.

    Images are decoded, resized and hashed outside of Python's lock. An error of `work` is raised at
    the turn of its item. Where the consumer stops, so do the threads.
    """
    workers = cores()
    if workers == 1 or len(items) < 2:
        yield from map(work, items)
        return
    pending: deque[Future[Result]] = deque()
    threads = ThreadPoolExecutor(workers)
    try:
        for item in items:
            pending.append(threads.submit(work, item))
            if len(pending) > _AHEAD * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        threads.shutdown(cancel_futures=True)


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def fit_square(images: Images, size: int, fit: Fit) -> Images:
    """Bring images of one size to `size` x `size`: uint8 [N, H, W, C] => [N, size, size, C].

    `pad` keeps the whole image, shrinks it where it is larger, never enlarges it, and centres it on
    black; `crop` scales the short side to `size`, up or down, and keeps the centre; `stretch`
    scales each side by its own factor. The result is contiguous.
    """
    height, width = images.shape[1:3]
    if fit == "stretch":
        return _bicubic(images, size, size)
    if fit == "crop":
        return _bicubic(centre(images, min(height, width), min(height, width)), size, size)
    if max(width, height) > size:
        scale = size / max(width, height)
        height, width = max(1, round(height * scale)), max(1, round(width * scale))
        images = _bicubic(images, height, width)
    if (height, width) == (size, size):
        return np.ascontiguousarray(images)
    canvas = np.zeros((len(images), size, size, images.shape[3]), dtype=np.uint8)
    top, left = (size - height) // 2, (size - width) // 2
    canvas[:, top : top + height, left : left + width] = images
    return canvas


def centre(images: Images, height: int, width: int) -> Images:
    """The middle `height` x `width` pixels (at most); [N, H, W, C] => [N, height, width, C]"""
    top = max(0, (images.shape[1] - height) // 2)
    left = max(0, (images.shape[2] - width) // 2)
    return images[:, top : top + height, left : left + width]


def _bicubic(images: Images, height: int, width: int) -> Images:
    if images.shape[1:3] == (height, width):
        return np.ascontiguousarray(images)
    # Imported here: data that needs no resizing is prepared without waiting for PyTorch.
    import torch

    planes = torch.from_numpy(np.require(images, requirements=["C", "W"])).permute(0, 3, 1, 2)
    resized = torch.nn.functional.interpolate(
        planes, size=(height, width), mode="bicubic", antialias=True
    )
    return resized.permute(0, 2, 3, 1).contiguous().numpy()
