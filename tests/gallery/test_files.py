"""Uploads of every kind, and files that others can read."""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import streamlit as st
from PIL import Image

from sharpvae.core.errors import UserError
from sharpvae.gallery import files
from tests.trained.toys import images


def written(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def gradient(mode: str = "RGB") -> Image.Image:
    ramp = np.linspace(0, 255, 32 * 24).reshape(24, 32).astype(np.uint8)
    return Image.fromarray(ramp).convert(mode)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_any_mode_becomes_what_the_vae_takes(mode: str, channels: int) -> None:
    image = (
        Image.fromarray(np.full((24, 32), 40000, np.uint16)) if mode == "I;16" else gradient(mode)
    )
    found = files.read_upload("a.png", written(image), 16, channels, "pad")
    assert found.shape == (16, 16, channels) and found.dtype == np.uint8
    assert (found[:2] == 0).all(), "padded above"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF"])
def test_any_format(form: str) -> None:
    found = files.read_upload("a", written(gradient(), form), 16, 3, "crop")
    assert found.shape == (16, 16, 3)
    assert float(found[-1].mean()) > float(found[0].mean()) + 100


def test_colours_become_grey_as_pillow_makes_them() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8))
    found = files.read_upload("a.png", written(picture), 16, 1, "pad")
    expected = np.asarray(picture.convert("L")).astype(int)
    assert np.abs(found[..., 0].astype(int) - expected).max() <= 1


def test_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    found = files.read_upload("a.jpg", written(gradient("L"), "JPEG", exif=exif), 16, 1, "crop")
    assert float(found[0].mean()) > float(found[-1].mean())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "an empty file"),
        (b"hello", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (written(gradient())[:90], "a damaged image"),
        (written(Image.new("1", (10000, 9000))), "more than 89478485 pixels"),
        (written(Image.new("1", (4000, 20))), "one side is over 100 times the other"),
    ],
)
def test_what_is_no_image_is_told(content: bytes, told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        files.read_upload("odd <b>.png", content, 16, 1, "pad")
    assert caught.value.where == "odd <b>.png"


def test_more_bytes_than_the_server_takes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(st, "get_option", {"server.maxUploadSize": 1}.__getitem__)
    with pytest.raises(UserError, match="at most 1 MB\n  found:    2 MB"):
        files.read_upload("a.png", bytes(2 << 20), 16, 1, "pad")


def test_a_gif_plays_there_and_back() -> None:
    with Image.open(io.BytesIO(files.animation([images(5), images(5)], "gif"))) as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (8, (512, 256), 0)
        assert film.info["duration"] == files.FRAME_MS


def test_an_mp4_has_the_frames_of_every_vae(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(files.animation([images(5), images(5, 3)], "mp4"))
    with av.open(str(path)) as film:
        frames = [frame.to_ndarray(format="gray") for frame in film.decode(video=0)]
    assert len(frames) == 8 and frames[0].shape == (256, 512)
    levels = [float(frame.mean()) for frame in frames]
    assert all((b > a) == (at % 2 == 0) for at, (a, b) in enumerate(pairwise(levels)))


def test_pictures_and_arrays() -> None:
    given = images(6)
    with Image.open(io.BytesIO(files.png(given, 3))) as picture:
        assert picture.width > picture.height
    with np.load(io.BytesIO(files.npz(given)), allow_pickle=False) as arrays:
        assert np.array_equal(arrays["images"], given)
