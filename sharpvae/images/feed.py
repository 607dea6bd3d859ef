"""Packed images to batches on the device."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.images.packed import Split

Item = TypeVar("Item")


_END: Any = object()  # stands for the item after the last one


def prefetch(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """The items of `items` in their order, made by a thread of its own.

    It starts with the first item asked for, and makes up to `ahead` items, at least 1, that are not
    yet taken. Once the iterator is exhausted, closed or dropped, it finishes its item and ends.

    Raises:
        Exception: whatever `items` raises, in the place of the item it failed to make.
    """
    source = iter(items)
    workers: set[int] = set()
    pool = ThreadPoolExecutor(1, "prefetch", initializer=lambda: workers.add(threading.get_ident()))
    try:
        pending = deque(pool.submit(next, source, _END) for _ in range(ahead))
        while (item := pending.popleft().result()) is not _END:
            pending.append(pool.submit(next, source, _END))
            yield item
    finally:
        # The garbage collector may close this in the worker itself, which cannot wait for itself.
        pool.shutdown(wait=threading.get_ident() not in workers, cancel_futures=True)


Rows: TypeAlias = tuple[Tensor, ...]  # the same rows of each array, on the device

_SHARE_OF_GPU = 0.25  # of the free memory; weights, activations and their gradients need the rest
_BYTES_ON_MPS = 2**31  # the memory is shared with the CPU, and nothing says how much is free
_AHEAD = 3  # batches under way to the GPU
_CHUNK_BYTES = 2**26  # copied at a time to make an array resident


class Mapped:
    """Gathers each batch from arrays of equal length, memory maps as a rule, and copies it over."""

    def __init__(self, arrays: Sequence[NDArray[Any]], device: torch.device) -> None:
        self.arrays, self.device = arrays, device

    def take(self, positions: Tensor) -> Rows:
        """The rows at int64 (B,) `positions`, which are on the CPU."""
        return tuple(rows.to(self.device) for rows in self.gather(positions))

    def batches(self, order: Tensor, size: int) -> Iterator[Rows]:
        """The rows at int64 (M,) `order`, `size` at a time; the last batch may be shorter."""
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
        """As `Mapped.batches`."""
        under_way = (self._send(positions) for positions in chunks(order, size))
        for rows, arrived in prefetch(under_way, _AHEAD):
            computing = torch.cuda.current_stream(self.device)
            computing.wait_event(arrived)
            for part in rows:  # the other stream owns its memory and must not reuse it yet
                part.record_stream(computing)
            yield rows

    def _send(self, positions: Tensor) -> tuple[Rows, torch.cuda.Event]:
        """Start to copy a batch; its tensors, and the event that they have arrived."""
        # The block also selects the GPU of this thread, for which memory is then pinned. PyTorch
        # reuses a pinned buffer only after the copies from it have finished.
        with torch.cuda.stream(self.copies):
            pinned = (part.pin_memory() for part in self.gather(positions))
            rows = tuple(part.to(self.device, non_blocking=True) for part in pinned)
            return rows, self.copies.record_event()


class Resident:
    """Holds the arrays on the device and gathers there."""

    def __init__(self, arrays: Sequence[NDArray[Any]], device: torch.device) -> None:
        self.tensors, self.device = [self._upload(array, device) for array in arrays], device

    @staticmethod
    def _upload(array: NDArray[Any], device: torch.device) -> Tensor:
        """The whole array on `device`, copied in parts, so that it is never in RAM as a whole."""
        dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
        target = torch.empty(array.shape, dtype=dtype, device=device)
        rows = max(1, _CHUNK_BYTES * len(array) // max(1, array.nbytes))
        for start in range(0, len(array), rows):
            target[start : start + rows] = torch.from_numpy(np.array(array[start : start + rows]))
        return target

    def take(self, positions: Tensor) -> Rows:
        """The rows at int64 (B,) `positions`, which may be on any device."""
        positions = positions.to(self.device)
        return tuple(tensor.index_select(0, positions) for tensor in self.tensors)

    def batches(self, order: Tensor, size: int) -> Iterator[Rows]:
        """As `Mapped.batches`."""
        # Whole: to send the positions of each batch would wait for the GPU each time.
        return map(self.take, chunks(order.to(self.device), size))


def fits(size: int, device: torch.device) -> bool:
    """Whether an array of `size` bytes should be on `device` whole; on the CPU, the map serves."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return size <= _SHARE_OF_GPU * free
    return device.type != "cpu" and size <= _BYTES_ON_MPS


def chunks(order: Tensor, size: int) -> Iterator[Tensor]:
    """(M,) in pieces of `size`, the last of which may be shorter; none where M is 0."""
    for start in range(0, len(order), size):
        yield order[start : start + size]


class Batch(NamedTuple):
    """Images with their labels, on one device."""

    images: Tensor  # float32 (B, C, H, W) in [0, 1], channels last in memory
    labels: Tensor | None  # int64 (B,); None without labels


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 => float32 in [0, 1]"""
    return torch.div(images, 255)  # without a float copy in between


def to_uint8(images: Tensor) -> Tensor:
    """float in [0, 1] => uint8 in 0..255, rounded to nearest"""
    return (images.float() * 255).round().clamp(0, 255).to(torch.uint8)


class Feed:
    """Gives out the images of one split in batches.

    On the CPU each batch is gathered from the memory map. A GPU holds the whole split as bytes if
    it is small beside the memory; if not, CUDA copies batches while it computes.

    With `resident` the whole split is on `device`; None decides by its size.

    Attributes:
        count, channels, image_size: N, C and H.
        pixels: values of one image, H * W * C.
        labels: int64 (N,) on the CPU; None without labels.
    """

    def __init__(self, split: Split, device: torch.device, resident: bool | None = None) -> None:
        images = np.asarray(split.images)
        self.count, self.image_size, width, self.channels = images.shape
        self.pixels = self.image_size * width * self.channels
        self.labels = None if split.labels is None else torch.tensor(split.labels)
        self.device = device
        self.resident = fits(images.nbytes, device) if resident is None else resident
        arrays: list[NDArray[Any]] = [images]
        if split.labels is not None:
            arrays.append(split.labels)
        streamed = Streamed if device.type == "cuda" else Mapped
        self._source = (Resident if self.resident else streamed)(arrays, device)

    def shuffled(
        self, batch_size: int, seed: int, epoch: int, flip: bool = False, start: int = 0,
        rows: Tensor | None = None,
    ) -> Iterator[Batch]:  # fmt: skip
        """One epoch in random order, without the last images that fill no whole batch.

        Order and flips depend on `seed` and `epoch` alone, on any device and whatever `start`.

        Args:
            batch_size: B, at most N.
            flip: mirror each image left to right with probability 1/2.
            start: batches to pass over, at most as many as there are.
            rows: int64 (R,), which rows of each batch to give, in that order; None for all.
        """

        def used(values: Tensor) -> Tensor:
            """Of one value per image, those of the images that are given out."""
            whole = values[start * batch_size : self.count // batch_size * batch_size]
            return whole if rows is None else whole.view(-1, batch_size)[:, rows].flatten()

        order = used(torch.randperm(self.count, generator=generator(seed, f"order {epoch}")))
        size = batch_size if rows is None else len(rows)
        batches = self._source.batches(order, size)
        if not flip:
            yield from map(_batch, batches)
            return
        coins = used(torch.rand(self.count, generator=generator(seed, f"flip {epoch}")) < 0.5)
        mirrors = chunks(coins.to(self.device), size)
        for batch, mirror in zip(batches, mirrors, strict=True):
            yield _batch(batch, mirror)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """All images in the order of the split; the last batch may be shorter."""
        return map(_batch, self._source.batches(torch.arange(self.count), batch_size))

    def take(self, positions: Tensor) -> Batch:
        """The images at int64 (B,) `positions`, which are on the CPU."""
        return _batch(self._source.take(positions))


def _batch(rows: Rows, mirror: Tensor | None = None) -> Batch:
    """uint8 (B, H, W, C), labels => what networks take; bool (B,) `mirror` flips left to right."""
    images, *labels = rows
    if mirror is not None:  # as bytes, a quarter of the traffic
        images = torch.where(mirror[:, None, None, None], images.flip(2), images)
    return Batch(to_float(images.permute(0, 3, 1, 2)), labels[0] if labels else None)
