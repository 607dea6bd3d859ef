"""The idx format of MNIST: magic, big-endian dimensions, then the bytes."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpvae.errors import UserError

_UINT8 = 0x08


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an idx file of unsigned bytes, gzipped or not.

    Args:
        path: the file; whether it is gzipped shows in its first bytes, not in its name.
        dimensions: 3 for images [N, H, W], 1 for labels [N].

    Returns:
        uint8 array with that many dimensions.

    Raises:
        UserError: wrong magic number, wrong number of dimensions, or wrong length.
    """
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    return parse_idx(data, dimensions, str(path))


def parse_idx(data: bytes, dimensions: int, where: str) -> NDArray[np.uint8]:
    """The array in the unpacked bytes of an idx file; see `read_idx`."""
    magic = bytes([0, 0, _UINT8, dimensions])
    if data[:4] != magic:
        raise UserError(
            where,
            f"an idx file of unsigned bytes with {dimensions} dimensions (magic {magic.hex()})",
            f"magic {data[:4].hex() or 'missing: the file is empty'}",
        )
    start = 4 + 4 * dimensions
    if len(data) < start:
        raise UserError(where, f"a header of {start} bytes", f"{len(data)} bytes in all")
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", dimensions, offset=4))
    expected = start + math.prod(shape)
    if len(data) != expected:
        raise UserError(
            where, f"{expected} bytes for dimensions {list(shape)}", f"{len(data)} bytes"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
