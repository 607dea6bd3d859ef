from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sharpvae.core.errors import UserError
from sharpvae.datasets.arrays import parse_idx, read_idx
from tests.datasets.samples import idx_bytes


@given(arrays.arrays(np.uint8, arrays.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=7)))
def test_reads_what_was_written_by_hand(array: np.ndarray) -> None:
    read = parse_idx(idx_bytes(array), array.ndim, "file")
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("packed", [True, False])
def test_packing_shows_in_the_bytes_not_in_the_name(tmp_path: Path, packed: bool) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    data = idx_bytes(array)
    path = tmp_path / "images"
    path.write_bytes(gzip.compress(data) if packed else data)
    np.testing.assert_array_equal(read_idx(path, 3), array)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "magic missing: the file is empty"),
        (b"\x00\x00\x09\x01\x00\x00\x00\x01\x00", "magic 00000901"),
        (idx_bytes(np.zeros((2, 2), np.uint8)), "magic 00000802"),
        (b"\x00\x00\x08\x01\x00\x00", "6 bytes in all"),
        (idx_bytes(np.zeros(9, np.uint8))[:-1], "16 bytes"),
        (idx_bytes(np.zeros(9, np.uint8)) + b"x", "18 bytes"),
    ],
)
def test_refuses_what_is_no_vector_of_bytes(data: bytes, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_idx(data, 1, "labels.idx")
    assert caught.value.where == "labels.idx"
    assert expected in caught.value.found


@given(st.binary(max_size=40))
def test_any_bytes_give_an_array_or_a_user_error(data: bytes) -> None:
    try:
        array = parse_idx(data, 1, "file")
    except UserError:
        return
    assert idx_bytes(array) == data


@pytest.mark.parametrize("damage", [lambda d: d[:-9], lambda d: d[:20] + b"x" + d[21:]])
def test_a_damaged_gzip_is_told(tmp_path: Path, damage) -> None:
    path = tmp_path / "labels.gz"
    data = bytes([0, 0, 8, 1, 0, 0, 0, 99]) + bytes(range(99))
    path.write_bytes(damage(gzip.compress(data, mtime=0)))
    with pytest.raises(UserError, match="a whole gzip file") as caught:
        read_idx(path, 1)
    assert caught.value.where == str(path)
