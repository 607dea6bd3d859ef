"""Reads what W&B writes offline: the log format of LevelDB, with a header of its own."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_HEADER, _BLOCK = 7, 32768  # bytes
_FIRST, _LAST = (1, 2), (1, 4)  # types of a piece that begins, and of one that ends, a record


def records(path: Path) -> Iterator[Any]:
    """Every wandb_internal.Record of a .wandb file."""
    from wandb.proto import wandb_internal_pb2

    data, position, record = path.read_bytes(), _HEADER, b""
    assert data.startswith(b":W&B")
    while position + _HEADER <= len(data):
        left = _BLOCK - position % _BLOCK
        if left < _HEADER:  # no room for a piece: zeros up to the next block
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        piece = data[position + _HEADER : position + _HEADER + length]
        record = piece if kind in _FIRST else record + piece
        position += _HEADER + length
        if kind in _LAST:
            yield wandb_internal_pb2.Record.FromString(record)
