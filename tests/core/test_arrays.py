"""Arrays of earlier stages: whole, or one clear error."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from sharpvae.core.arrays import read_array, read_arrays
from sharpvae.core.errors import UserError

VALUES = np.arange(400, dtype=np.float32).reshape(20, 20)


def written(folder: Path) -> tuple[Path, Path]:
    one, several = folder / "a.npy", folder / "b.npz"
    np.save(one, VALUES)
    np.savez_compressed(several, mean=VALUES, log_var=-VALUES)
    return one, several


def test_what_is_written_is_read(tmp_path: Path) -> None:
    one, several = written(tmp_path)
    assert (read_array(one) == VALUES).all() and (read_array(one, mapped=True) == VALUES).all()
    found = read_arrays(several, "mean", "log_var")
    assert (found["mean"] == VALUES).all() and (found["log_var"] == -VALUES).all()


def test_a_cut_file_is_damaged_wherever_it_is_cut(tmp_path: Path) -> None:
    for path, read in zip(written(tmp_path), (read_array, read_arrays), strict=True):
        data = path.read_bytes()
        for length in range(0, len(data), 37):
            path.write_bytes(data[:length])
            with pytest.raises(UserError, match="a file written by numpy") as caught:
                read(path)
            assert caught.value.where == str(path)


def test_a_flipped_byte_is_damaged_or_another_number(tmp_path: Path) -> None:
    for path, read in zip(written(tmp_path), (read_array, read_arrays), strict=True):
        data = path.read_bytes()
        for place in range(0, len(data), 7):
            broken = bytearray(data)
            broken[place] ^= 0xFF
            path.write_bytes(broken)
            with suppress(UserError):
                read(path)


def test_what_is_not_there_or_of_another_kind_is_named(tmp_path: Path) -> None:
    one, several = written(tmp_path)
    with pytest.raises(UserError, match="no such file"):
        read_array(tmp_path / "c.npy")
    for read, path in ((read_array, several), (read_arrays, one)):
        with pytest.raises(UserError, match="a file written by numpy"):
            read(path)
    with pytest.raises(UserError, match="arrays named mean and other"):
        read_arrays(several, "mean", "other")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match="allow_pickle"):
        read_array(tmp_path / "a.npy")


def test_a_header_that_announces_less_than_there_is_is_damaged(tmp_path: Path) -> None:
    """One bit turned in `(20, 20)`, and a fifth of the images would be scored as if all."""
    one, _ = written(tmp_path)
    one.write_bytes(one.read_bytes().replace(b"(20, 20)", b"( 4, 20)", 1))
    for mapped in (False, True):
        with pytest.raises(UserError, match="1280 bytes more than its header announces"):
            read_array(one, mapped)
