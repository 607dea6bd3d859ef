"""Damaged idx, .npy and .npz files: the array that they hold, or one clear error."""

from __future__ import annotations

import gzip
import io
import random
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharpvae.core.arrays import read_array, read_arrays
from sharpvae.datasets.arrays import read_idx
from sharpvae.datasets.given import read_images
from sharpvae.given.score import read_pairs
from tests.hostile.campaign import attack, hostile
from tests.hostile.mutate import ANY, Mutation, mutants
from tests.hostile.test_archives import ZIP_FIELDS, resealed

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
FLOATS = RANDOM.random((2, 16, 16)).astype(np.float32)
DEEP = RANDOM.integers(0, 65536, (2, 1, 16, 16), dtype=np.uint16)
_DESCRIPTIONS = (
    b"'|u1'", b"'<f4'", b"'<f2'", b"'>f8'", b"'<f16'", b"'|i1'", b"'<i8'", b"'|b1'", b"'|O'",
    b"'|V4'", b"'<c8'", b"'<M8[s]'", b"'<U4'", b"'|S0'", b"[('a', '<f4'), ('b', '|O')]", b"'x'",
    b"None", b"3", b"('<f4', (2,))",
)  # fmt: skip
_SHAPES = (
    b"()", b"(0,)", b"(3, 16, 16, 0)", b"(3, 16, 16, 1)", b"(-1, 16, 16, 3)", b"(2, 16, 16)",
    b"(1000000, 1000000)", b"(9999999999999999999999,)", b"(4000000000, 16, 16, 3)", b"(3,) * 3",
    b"'a'", b"(1.5,)", b"(True, 768)", b"(3, 16, 16, 3, 1)", b"[3]", b"(" * 90 + b")" * 90,
)  # fmt: skip


def npy(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def npz(save: Callable[..., None], **arrays: Any) -> bytes:
    buffer = io.BytesIO()
    save(buffer, **arrays)
    return buffer.getvalue()


def idx(array: np.ndarray) -> bytes:
    magic = bytes([0, 0, 8, array.ndim])
    return magic + np.array(array.shape, ">u4").tobytes() + array.tobytes()


NPY = [npy(IMAGES), npy(FLOATS), npy(DEEP), npy(IMAGES[..., 0] > 99), npy(IMAGES, (3, 0)),
       npy(np.asfortranarray(IMAGES)), npy(IMAGES.repeat(2, axis=3)[..., :4])]  # fmt: skip
NPZ = [
    npz(np.savez, images=IMAGES), npz(np.savez_compressed, images=FLOATS),
    npz(np.savez, images=IMAGES, names=np.array(["a", "b"]), more=np.arange(3)),
    npz(np.savez, images=IMAGES, objects=np.array([{}, None, 3])),
]  # fmt: skip
PAIRS = [npz(np.savez, images=IMAGES, reconstructions=IMAGES[::-1])]
IDX = [idx(IMAGES[..., 0]), gzip.compress(idx(IMAGES[..., 0]), mtime=0), idx(IMAGES[0, 0, :, 0])]


def header(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another description, order or shape in the header of a .npy, whose length fits."""
    if not data.startswith(b"\x93NUMPY\x01") or len(data) < 10:
        return data
    length = struct.unpack("<H", data[8:10])[0]
    parts = {
        b"'descr'": draw.choice(_DESCRIPTIONS), b"'fortran_order'": draw.choice((b"True", b"2")),
        b"'shape'": draw.choice(_SHAPES),
    }  # fmt: skip
    kept = draw.sample(list(parts), draw.choice((1, 1, 2)))
    usual = {
        b"'descr'": b"'|u1'", b"'fortran_order'": b"False", b"'shape'": b"(3, 16, 16, 3)",
    }  # fmt: skip
    told = {key: parts[key] if key in kept else usual[key] for key in parts}
    text = b"{" + b", ".join(key + b": " + value for key, value in told.items()) + b"}"
    return data[:8] + struct.pack("<H", len(text) + 1) + text + b"\n" + data[10 + length :]


def inside(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A member of a .npz is damaged, or its header, and the checksums of the archive fit."""
    return resealed(draw, data, lambda own: draw.choice((header, *ANY))(draw, own, [own]))


def finite(array: np.ndarray) -> None:
    assert array.dtype.hasobject is False and array.size >= 0


def images(path: Path) -> None:
    """As `sharpvae score` reads what somebody made."""
    found = read_images(path, "samples").images
    assert found.dtype == np.uint8 and found.ndim == 4 and found.shape[3] in (1, 3)


def pairs(path: Path) -> None:
    for own in read_pairs(path, "samples"):
        assert own.images.dtype == np.uint8


READERS: dict[str, tuple[str, list[bytes], list[Mutation], Callable[[Path], Any]]] = {
    "idx": (".idx", IDX, [], lambda path: read_idx(path, 3)),
    "npy of a stage": (".npy", NPY, [header], lambda path: finite(read_array(path))),
    "npy of a stage, mapped": (".npy", NPY, [header], lambda p: finite(read_array(p, mapped=True))),
    "npy, scored": (".npy", NPY, [header], images),
    "npz of a stage": (".npz", NPZ, [inside, ZIP_FIELDS], lambda p: read_arrays(p, "images")),
    "npz, scored": (".npz", NPZ, [inside, ZIP_FIELDS], images),
    "npz of pairs": (".npz", PAIRS, [inside, ZIP_FIELDS], pairs),
}


@pytest.mark.parametrize("kind", READERS)
@hostile()
def test_a_damaged_array_is_whole_or_told(
    request: pytest.FixtureRequest, tmp_path: Path, kind: str, count: int
) -> None:
    suffix, seeds, special, read = READERS[kind]
    path = tmp_path / f"array{suffix}"

    def written(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    tally = attack(request, f"arrays: {kind}", mutants(seeds, count, special), written)
    assert tally.right and tally.refused
