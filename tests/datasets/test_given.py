"""Sets of images as people bring them: what is read, what is assumed, what is refused."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import strategies as st
from PIL import Image

from sharpvae.core.errors import UserError
from sharpvae.datasets.array_files import load_array
from sharpvae.datasets.files import DEEPEST
from sharpvae.datasets.given import (
    LEAST,
    Given,
    chosen,
    digest,
    fitting,
    read_images,
    require_kind,
)

RANDOM = np.random.default_rng(0)
GREY = RANDOM.integers(0, 256, (5, 16, 20, 1), np.uint8)
COLOUR = RANDOM.integers(0, 256, (5, 16, 20, 3), np.uint8)


class Trap:
    """Runs code where it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("code was run",))


def png(image: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image, **options).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("images", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("first", [True, False], ids=["NCHW", "NHWC"])
@pytest.mark.parametrize("kind", ["uint8", "float32", "float64", "tensor"])
def test_every_form_of_an_array_is_the_same_images(
    images: np.ndarray, first: bool, kind: str
) -> None:
    array = images.transpose(0, 3, 1, 2) if first else images
    source: Any = array if kind == "uint8" else array.astype(kind.replace("tensor", "f4")) / 255
    found = read_images(torch.from_numpy(source) if kind == "tensor" else source, "mine")
    assert np.array_equal(found.images, images)
    assert found.images.dtype == np.uint8
    assert found.notes == []


def test_grey_without_a_channel_and_grey_in_three() -> None:
    for source in (GREY[..., 0], GREY.repeat(3, axis=3), GREY[..., 0] > 255):
        assert read_images(source, "mine").images.shape == GREY.shape


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (COLOUR / 127.5 - 1, "taken as -1 (black) to 1 (white)"),
        (COLOUR.astype(np.float32), "taken as 0 (black) to 255 (white)"),
        (COLOUR.astype(np.int64), "taken as 0 (black) to 255 (white)"),
        (COLOUR.astype(np.uint16) * 257, "taken as 0 (black) to 65535 (white)"),
    ],
    ids=["signed", "bytes as floats", "bytes as integers", "16 bits"],
)
def test_other_ranges_are_taken_with_a_word(source: np.ndarray, told: str) -> None:
    found = read_images(source, "mine")
    assert np.array_equal(found.images, COLOUR)
    assert told in found.notes[0]


def test_transparent_pixels_are_laid_on_white() -> None:
    alpha = np.zeros((5, 16, 20, 1), np.uint8)
    alpha[:, :8] = 255
    found = read_images(np.concatenate([COLOUR, alpha], axis=3), "mine")
    assert np.array_equal(found.images[:, :8], COLOUR[:, :8])
    assert (found.images[:, 8:] == 255).all()
    assert "white" in found.notes[0]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (COLOUR / 200, "from"),
        (COLOUR / 250 - 0.01, "from"),
        (COLOUR / 64 - 2, "from"),
        (np.where(COLOUR > 250, np.nan, COLOUR / 255), "NaN"),
        (COLOUR.astype(np.int16) - 1, "uint8"),
        (GREY // 64 * np.uint16(1), "uint8"),
        (GREY * np.uint16(16), "16 bits"),
        (GREY // 128, "as bool"),
        ([GREY[0], COLOUR[0]], "one array"),
        (COLOUR * (1 + 0j), "complex"),
        (COLOUR[0], "(16, 20, 3)"),
        (COLOUR[:, :8], "16 pixels at least"),
        (COLOUR.reshape(5, -1), "(5, 960)"),
        (COLOUR[:0], "none"),
    ],
    ids=["above 1", "below 0", "wild", "nan", "negative", "16 bits unclear", "12 bits", "0 and 1",
         "list", "complex", "single", "small", "flat", "empty"],
)  # fmt: skip
def test_what_may_mean_two_things_is_refused(source: Any, said: str) -> None:
    with pytest.raises(UserError, match="mine") as caught:
        read_images(source, "mine")
    assert said in str(caught.value)


def test_rounding_may_leave_the_range_by_a_little() -> None:
    for source in (COLOUR / 255 * (1 + 1e-6), COLOUR / 255 - 1e-7, COLOUR / 127.5 - 1 - 1e-7):
        assert np.array_equal(read_images(source, "mine").images, COLOUR)


@drawn(st.floats(0, 1), st.floats(0, 1))
def test_floats_round_to_the_nearest_byte(low: float, high: float) -> None:
    images = np.linspace(low, high, 16 * 16).reshape(1, 16, 16, 1)
    found = read_images(images, "mine").images
    assert np.abs(found / 255 - images).max() <= 0.5 / 255 + 1e-12


def test_folders_and_archives_hold_the_same_images(tmp_path: Path) -> None:
    folder = tmp_path / "samples"
    folder.mkdir()
    with zipfile.ZipFile(tmp_path / "samples.zip", "w") as archive:
        for index, image in enumerate(COLOUR):
            (folder / f"{index}.png").write_bytes(png(image))
            archive.writestr(f"in/{index}.png", png(image))
    (folder / "notes.txt").write_text("no image")
    for path in (folder, tmp_path / "samples.zip"):
        assert np.array_equal(read_images(path, "mine").images, COLOUR)
    assert "notes.txt (not an image)" in read_images(folder, "mine").notes[0]


def test_class_folders_are_labels(tmp_path: Path) -> None:
    for name, images in {"cat": GREY[:2], "dog": GREY[2:]}.items():
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            (tmp_path / name / f"{index}.png").write_bytes(png(image))
    found = read_images(tmp_path, "mine")
    assert found.labels is not None
    assert found.labels.tolist() == [0, 0, 1, 1, 1]
    assert np.array_equal(found.images, GREY)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no file in it"),
        ({"a.txt": b"words"}, "not an image"),
        ({"a.png": png(COLOUR[0]), "b.png": png(COLOUR[0, :, :18])}, "20x16 pixels, as a.png"),
        ({"a.png": png(COLOUR[0, :8])}, "16 pixels a side"),
    ],
    ids=["empty", "text", "sizes", "small"],
)
def test_folders_without_usable_images(tmp_path: Path, files: dict[str, bytes], said: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=tmp_path.name) as caught:
        read_images(tmp_path, "mine")
    assert said in str(caught.value)


def test_arrays_in_files(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", COLOUR)
    np.savez(tmp_path / "b.npz", COLOUR, labels=np.arange(5))
    np.savez(tmp_path / "two.npz", one=COLOUR, two=GREY)
    np.savez(tmp_path / "named.npz", images=COLOUR, classes=np.array([Trap()], dtype=object))
    assert np.array_equal(read_images(tmp_path / "named.npz", "mine").images, COLOUR)
    for name in ("a.npy", "b.npz"):
        assert np.array_equal(read_images(tmp_path / name, "mine").images, COLOUR)
    assert np.array_equal(load_array(tmp_path / "two.npz", "two"), GREY)
    with pytest.raises(UserError, match=r"one \(5, 16, 20, 3\), two \(5, 16, 20, 1\)"):
        read_images(tmp_path / "two.npz", "mine")
    with pytest.raises(UserError, match="named 'three'"):
        load_array(tmp_path / "two.npz", "three")


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_objects_are_never_unpickled(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    (np.save if ending == "npy" else np.savez)(path, np.array([Trap()], dtype=object))
    with pytest.raises(UserError, match="never unpickled"):
        read_images(path, "mine")


@pytest.mark.parametrize("name", ["nothing.npy", "nothing"])
def test_a_path_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="no such file or folder"):
        read_images(tmp_path / name, "mine")


def test_a_damaged_array(tmp_path: Path) -> None:
    for name in ("a.npy", "a.npz"):
        (tmp_path / name).write_bytes(b"no array")
        with pytest.raises(UserError, match="an array of numbers"):
            read_images(tmp_path / name, "mine")


def test_the_digest_is_of_names_and_contents_and_not_of_the_place(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "deep").mkdir(parents=True)
        for index, image in enumerate(COLOUR[:3]):
            (tmp_path / name / f"deep/{index}.png").write_bytes(png(image))
    first, other = (digest(str(tmp_path / name)) for name in ("one", "two"))
    assert first == other and len(first) == 64
    (tmp_path / "two/.DS_Store").write_bytes(b"hidden")
    assert digest(str(tmp_path / "two")) == first
    (tmp_path / "two/deep/2.png").rename(tmp_path / "two/deep/3.png")
    assert digest(str(tmp_path / "two")) != first
    np.save(tmp_path / "one.npy", COLOUR)
    whole = (tmp_path / "one.npy").read_bytes()
    assert digest(str(tmp_path / "one.npy")) == hashlib.sha256(whole).hexdigest()
    with pytest.raises(UserError, match="nowhere"):
        digest(str(tmp_path / "nowhere"))


def test_a_zip_under_any_name_is_a_kind_and_text_is_none(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.cbz", "w") as archive:
        archive.writestr("0.png", png(COLOUR[0]))
    np.save(tmp_path / "images.npy", COLOUR)
    for name in ("images.cbz", "images.npy", "."):
        require_kind(str(tmp_path / name), "key")
    (tmp_path / "images.txt").write_text("words")
    for name in ("images.txt", "nowhere.npy"):
        with pytest.raises(UserError, match=rf"(?s)^key.*{name}"):
            require_kind(str(tmp_path / name), "key")


def test_samples_are_fitted_to_the_channels_of_the_real_images() -> None:
    many = Given(np.repeat(GREY, LEAST, axis=0), None, ["a note"])
    assert fitting(many, (16, 20, 1), "key") is many
    coloured = fitting(many, (16, 20, 3), "key")
    assert coloured.images.shape == (5 * LEAST, 16, 20, 3)
    assert (coloured.images == many.images).all() and coloured.notes[0] == "a note"
    assert "grey" in coloured.notes[1]
    for shape, images, said in (
        ((20, 16, 1), many.images, "16x20 pixels"),
        ((16, 20, 1), np.repeat(COLOUR, LEAST, axis=0), "grey images"),
        ((16, 20, 1), GREY, f"at least {LEAST}"),
    ):
        with pytest.raises(UserError, match="key") as caught:
            fitting(Given(images, None, []), shape, "key")
        assert said in str(caught.value)


def test_what_is_chosen_is_a_draw_without_repeats() -> None:
    rows = chosen(1000, 300)
    assert len(set(rows.tolist())) == 300 and rows.max() < 1000
    assert abs(rows.mean() - 500) < 60  # three and a half standard errors
    assert sorted(chosen(7, 300)) == list(range(7))


def test_no_message_names_a_key_of_params_yaml(tmp_path: Path, monkeypatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("0.bmp", bytes(100_000))
    monkeypatch.setattr("sharpvae.datasets.files.FREE_SIZE", 0)
    with pytest.raises(UserError, match="a zip bomb") as caught:
        read_images(tmp_path / "bomb.zip", "real")
    assert "data." not in str(caught.value)
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "/".join(["deep", *["a"] * DEEPEST])).mkdir(parents=True)
    for name in ("pipe.zip", "deep"):
        with pytest.raises(UserError) as caught:
            read_images(tmp_path / name, "real")
        assert "data." not in str(caught.value) and name in str(caught.value)
