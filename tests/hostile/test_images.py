"""Damaged images of every format that Pillow writes: an image, or the reason why there is none."""

from __future__ import annotations

import io
import random
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sharpvae.datasets.decode import MAX_ASPECT, UnusableImageError, decode
from sharpvae.gallery.files import read_upload
from tests.hostile.campaign import attack, hostile
from tests.hostile.mutate import ANY, Mutation, mutants

_SIDE = 16
RANDOM = np.random.default_rng(0)
COLOURS = Image.fromarray(RANDOM.integers(0, 256, (_SIDE, _SIDE, 3), dtype=np.uint8))
DEEP = Image.fromarray(RANDOM.integers(0, 65536, (_SIDE, _SIDE), dtype=np.uint16))
FLOATS = Image.fromarray(RANDOM.random((_SIDE, _SIDE), dtype=np.float32))


def saved(kind: str, image: Image.Image = COLOURS, mode: str = "", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image.copy()).save(buffer, kind, **options)
    return buffer.getvalue()


def animated(kind: str) -> bytes:
    return saved(kind, save_all=True, append_images=[COLOURS.rotate(90)])


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif.tobytes()


SEEDS: dict[str, list[bytes]] = {
    "PNG": [
        saved("PNG"), saved("PNG", mode="L"), saved("PNG", mode="1"), saved("PNG", mode="RGBA"),
        saved("PNG", DEEP), saved("PNG", mode="P", transparency=3), animated("PNG"),
        saved("PNG", exif=turned()),
    ],
    "JPEG": [
        saved("JPEG"), saved("JPEG", mode="L"), saved("JPEG", mode="CMYK"),
        saved("JPEG", progressive=True), saved("JPEG", exif=turned()), animated("MPO"),
    ],
    "GIF": [saved("GIF"), animated("GIF"), saved("GIF", mode="L", interlace=1)],
    "BMP": [saved("BMP"), *(saved("BMP", mode=mode) for mode in ("P", "1", "RGBA"))],
    "TIFF": [
        *(saved("TIFF", compression=way) for way in
          ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
        saved("TIFF", DEEP), saved("TIFF", FLOATS), saved("TIFF", mode="CMYK"),
        saved("TIFF", mode="1", compression="group4"), animated("TIFF"),
    ],
    "WEBP": [saved("WEBP"), saved("WEBP", lossless=True), animated("WEBP"),
             saved("WEBP", mode="RGBA", exif=turned())],
    "AVIF": [saved("AVIF", speed=10), saved("AVIF", mode="RGBA", speed=10)],
    "PPM": [saved("PPM"), saved("PPM", mode="L"), saved("PPM", mode="1"), saved("PPM", DEEP),
            saved("PPM", FLOATS), b"P3\n2 2\n255\n" + b"1 2 3 " * 4, b"P2 2 2 9 0 1 2 3"],
    "JPEG 2000": [saved("JPEG2000"), saved("JPEG2000", no_jp2=True), saved("JPEG2000", mode="L"),
                  saved("JPEG2000", irreversible=True)],
}  # fmt: skip
UNCLEAR = [saved(kind, FLOATS) for kind in ("TIFF", "PPM")]  # nobody says what white is
# Formats that Pillow knows, and `decode` does not take: some start another program.
OTHERS = [
    *(saved(kind) for kind in
      ("DDS", "DIB", "EPS", "ICO", "PCX", "PDF", "QOI", "SGI", "SPIDER", "TGA")),
    *(saved(kind, mode="1") for kind in ("MSP", "XBM")), saved("PALM", mode="P"),
]  # fmt: skip


def sealed(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A chunk of a PNG is damaged, and its checksum fits: the decoder has to look itself."""
    starts, place = [], 8
    while place + 12 <= len(data):
        starts.append(place)
        place += 12 + int.from_bytes(data[place : place + 4], "big")
    if not starts:
        return data
    start = draw.choice(starts)
    length = int.from_bytes(data[start : start + 4], "big")
    kind, old = data[start + 4 : start + 8], data[start + 8 : start + 8 + length]
    new = draw.choice(ANY)(draw, old, others) if old else old
    check = zlib.crc32(kind + new).to_bytes(4, "big")
    return b"".join(
        [data[:start], len(new).to_bytes(4, "big"), kind, new, check, data[start + 12 + length :]]
    )


SPECIAL: dict[str, list[Mutation]] = {"PNG": [sealed]}


def read(data: bytes) -> None:
    """Decode, and look at what came out."""
    pixels = decode(data)
    height, width, channels = pixels.shape
    assert pixels.dtype == np.uint8 and channels in (1, 3)
    assert 0 < max(height, width) <= MAX_ASPECT * min(height, width)


@pytest.mark.parametrize("kind", SEEDS)
@hostile()
def test_a_damaged_image_is_an_image_or_told(
    request: pytest.FixtureRequest, kind: str, count: int
) -> None:
    for seed in SEEDS[kind]:
        if seed not in UNCLEAR:
            read(seed)
    inputs = mutants(SEEDS[kind], count, SPECIAL.get(kind, ()))
    tally = attack(request, f"images: {kind}", inputs, read)
    assert tally.right and tally.refused


@hostile()
def test_other_formats_are_no_images(request: pytest.FixtureRequest, count: int) -> None:
    for seed in OTHERS:
        with pytest.raises(UnusableImageError, match="not an image"):
            read(seed)
    assert attack(request, "images: other formats", mutants(OTHERS, count), read).refused


def uploaded(data: bytes) -> None:
    """As the gallery takes it from a browser, for a VAE of grey images."""
    pixels = read_upload("a", data, _SIDE, 1, "crop")
    assert pixels.dtype == np.uint8 and pixels.shape == (_SIDE, _SIDE, 1)


@hostile()
def test_a_damaged_upload_is_an_image_or_told(request: pytest.FixtureRequest, count: int) -> None:
    seeds = [seed for of in SEEDS.values() for seed in of]
    tally = attack(
        request, "images: uploads to the gallery, of all formats", mutants(seeds, count), uploaded
    )
    assert tally.right and tally.refused


@pytest.mark.slow
@pytest.mark.whole
def test_the_largest_images_cost_what_one_file_may(request: pytest.FixtureRequest) -> None:
    """Right ones of as many pixels as `decode` takes, of the modes that cost most.

    Twice the seconds: on a free core it takes 1.5.
    """
    kinds = [("PNG", "I;16", 1), ("PNG", "RGBA", 1), ("TIFF", "CMYK", 1), ("WEBP", "RGBA", 2),
             ("JPEG2000", "RGBA", 4)]  # fmt: skip
    assert Image.MAX_IMAGE_PIXELS is not None
    limit = Image.MAX_IMAGE_PIXELS
    sides = [int((limit / share) ** 0.5) for _, _, share in kinds]
    inputs = [
        saved(kind, Image.new(mode, (side, side)))
        for (kind, mode, _), side in zip(kinds, sides, strict=True)
    ]
    tally = attack(request, "images: the largest", inputs, read, large=True, seconds=4.0)
    assert tally.right == len(kinds)
