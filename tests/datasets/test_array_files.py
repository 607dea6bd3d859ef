"""Arrays that somebody else wrote, damaged or not."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sharpvae.core.errors import UserError
from sharpvae.datasets import array_files
from sharpvae.datasets.array_files import load_array

IMAGES = np.arange(5 * 16 * 16, dtype=np.uint16).astype(np.uint8).reshape(5, 16, 16)


def archive(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return path


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_other_files_beside_the_arrays_are_passed_over(tmp_path: Path) -> None:
    members = {"images.npy": npy(IMAGES), "readme.txt": b"words", "other": npy(IMAGES)}
    path = archive(tmp_path / "a.npz", **members)
    assert np.array_equal(load_array(path), IMAGES)


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (True, 768)}",  # TypeError
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1, 16, 16)}",  # OverflowError
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999999999999,)}",
        b"{'descr': '|u1', 'fortran_order': False, 'shape': (2000000000, 2000000000)}",
        b"{'descr': '|u1', 'fortran_order': Fal\xff\xff",  # TokenError
        b"words",
    ],
)
def test_whatever_numpy_raises_is_one_message(tmp_path: Path, header: bytes) -> None:
    text = header + b"\n"
    data = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(99)
    alone, within = tmp_path / "a.npy", archive(tmp_path / "b.npz", **{"images.npy": data})
    alone.write_bytes(data)
    for path in (alone, within):
        with pytest.raises(UserError, match="an array of numbers") as caught:
            load_array(path)
        assert caught.value.where == str(path)


def test_a_member_that_is_no_array_is_told(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", **{"images.npy": b"words, and no array"})
    with pytest.raises(UserError, match="an array of numbers"):
        load_array(path)


def test_a_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path / "a.npz", **{"images.npy": npy(np.zeros((999, 16, 16), np.uint8))})
    assert load_array(path).shape == (999, 16, 16)
    monkeypatch.setattr(array_files, "FREE_SIZE", 1000)
    with pytest.raises(UserError, match="a zip bomb"):
        load_array(path)
