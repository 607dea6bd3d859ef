"""Where the bytes of a split lie while it is in use, and how a batch of them reaches the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.datasets.prefetch import prefetch

Rows: TypeAlias = tuple[Tensor, ...]  # the same rows of each array, on the device

_SHARE_OF_GPU = 0.25  # of the free memory; weights, activations and their gradients need the rest
_BYTES_ON_MPS = 2**31  # the memory is the machine's own, and nobody says how much of it is free
_AHEAD = 3  # batches under way to the GPU
_CHUNK_BYTES = 2**26  # copied at a time to make an array resident


class Source(Protocol):
    """Rows of one or more arrays of equal length, by position."""

    def take(self, positions: Tensor) -> Rows:
        """The rows at int64 (B,) `positions`."""
        ...

    def batches(self, order: Tensor, size: int) -> Iterator[Rows]:
        """The rows at int64 (M,) `order`, `size` at a time, the last batch as short as it comes."""
        ...


class Mapped:
    """Gathers each batch from where the arrays lie, a memory map as a rule, and copies it over.

    Only the batch is ever in memory; which pages of a map stay in RAM is the system's business.
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], device: torch.device) -> None:
        self.arrays, self.device = arrays, device

    def take(self, positions: Tensor) -> Rows:
        """The rows at int64 (B,) `positions`, which lie on the CPU."""
        return tuple(rows.to(self.device) for rows in self.gather(positions))

    def batches(self, order: Tensor, size: int) -> Iterator[Rows]:
        """See `Source`."""
        return map(self.take, chunks(order, size))

    def gather(self, positions: Tensor) -> Rows:
        """The rows at `positions`, on the CPU."""
        # NumPy gathers: PyTorch would warn that the map of a file is not writable.
        rows = (array[positions.numpy()] for array in self.arrays)
        return tuple(torch.from_numpy(np.ascontiguousarray(part)) for part in rows)


class Streamed(Mapped):
    """As `Mapped`, but a thread gathers a few batches ahead and CUDA copies while it computes."""

    def __init__(self, arrays: Sequence[NDArray[Any]], device: torch.device) -> None:
        super().__init__(arrays, device)
        self.copies = torch.cuda.Stream(device)

    def batches(self, order: Tensor, size: int) -> Iterator[Rows]:
        """See `Source`."""
        under_way = (self._send(positions) for positions in chunks(order, size))
        for rows, arrived in prefetch(under_way, _AHEAD):
            computing = torch.cuda.current_stream(self.device)
            computing.wait_event(arrived)
            for part in rows:  # its memory belongs to the other stream, which must not reuse it yet
                part.record_stream(computing)
            yield rows

    def _send(self, positions: Tensor) -> tuple[Rows, torch.cuda.Event]:
        """Start to copy a batch; its tensors, and the event that they have arrived."""
        # The block sets the GPU of this thread too, for which memory is then pinned. PyTorch gives
        # a pinned buffer out again only once the copies from it are over.
        with torch.cuda.stream(self.copies):
            pinned = (part.pin_memory() for part in self.gather(positions))
            rows = tuple(part.to(self.device, non_blocking=True) for part in pinned)
            return rows, self.copies.record_event()


class Resident:
    """Holds the arrays on the device and gathers there."""

    def __init__(self, arrays: Sequence[NDArray[Any]], device: torch.device) -> None:
        self.tensors = [_upload(array, device) for array in arrays]
        self.device = device

    def take(self, positions: Tensor) -> Rows:
        """The rows at int64 (B,) `positions`, which lie anywhere."""
        positions = positions.to(self.device)
        return tuple(tensor.index_select(0, positions) for tensor in self.tensors)

    def batches(self, order: Tensor, size: int) -> Iterator[Rows]:
        """See `Source`."""
        # Whole: to send the positions of each batch would wait for the GPU each time.
        return map(self.take, chunks(order.to(self.device), size))


def fits(size: int, device: torch.device) -> bool:
    """Whether an array of `size` bytes should lie on `device` as a whole.

    Never on the CPU, where it would be a copy of what the page cache holds already.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return size <= _SHARE_OF_GPU * free
    return device.type != "cpu" and size <= _BYTES_ON_MPS


def open_source(arrays: Sequence[NDArray[Any]], device: torch.device, resident: bool) -> Source:
    """The way of these arrays, equally long, to `device`."""
    if resident:
        return Resident(arrays, device)
    return Streamed(arrays, device) if device.type == "cuda" else Mapped(arrays, device)


def chunks(order: Tensor, size: int) -> Iterator[Tensor]:
    """(M,) cut into pieces of `size`, the last as short as it comes; none where M is 0."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _upload(array: NDArray[Any], device: torch.device) -> Tensor:
    """The whole array on `device`, through a buffer, so that it never lies in RAM as well."""
    dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    target = torch.empty(array.shape, dtype=dtype, device=device)
    rows = max(1, _CHUNK_BYTES * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), rows):
        target[start : start + rows] = torch.from_numpy(np.array(array[start : start + rows]))
    return target
