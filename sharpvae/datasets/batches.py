"""Batches of a packed split as networks take them: float images on the device, with labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.datasets.packed import Split
from sharpvae.datasets.sources import Rows, chunks, fits, open_source
from sharpvae.randomness import generator


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

    On the CPU each batch is gathered from the memory map. On a GPU the whole split lies there as
    bytes if it is small beside the memory; if not, CUDA copies batches while it computes.

    Args:
        split: uint8 images [N, H, W, C] of any kind, a read-only memory map too; int64 labels [N].
        device: of the batches.
        resident: whether the whole split lies on the device; None decides by its size.

    Attributes:
        count: N.
        channels, image_size: C, and H.
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
        self._source = open_source(arrays, device, self.resident)

    def shuffled(
        self,
        batch_size: int,
        seed: int,
        epoch: int,
        flip: bool = False,
        start: int = 0,
        rows: Tensor | None = None,
    ) -> Iterator[Batch]:
        """One epoch in random order; images that fill no whole batch are left out of it.

        Order and flips depend on `seed` and `epoch` alone, on any device, and not on what was
        drawn before: batch k of an epoch is the same whether or not the epoch began with it.

        Args:
            batch_size: B, at most N.
            flip: mirror each image left to right with probability 1/2.
            start: batches to pass over, at most as many as there are.
            rows: int64 (R,), those of each batch to give, in their order; None for all.

        Yields:
            Batches of B images, or of R.
        """

        def used(values: Tensor) -> Tensor:
            """Of a value an image, those that are given out."""
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
        """All images in the order of the split, the last batch as short as it comes."""
        return map(_batch, self._source.batches(torch.arange(self.count), batch_size))

    def take(self, positions: Tensor) -> Batch:
        """The images at int64 (B,) `positions`, which lie on the CPU."""
        return _batch(self._source.take(positions))


def _batch(rows: Rows, mirror: Tensor | None = None) -> Batch:
    """Bytes as they lie in the split => what networks take.

    Args:
        rows: uint8 (B, H, W, C) and, with labels, int64 (B,).
        mirror: bool (B,), which images to mirror left to right.
    """
    images, *labels = rows
    if mirror is not None:  # as bytes, a quarter of the traffic
        images = torch.where(mirror[:, None, None, None], images.flip(2), images)
    return Batch(to_float(images.permute(0, 3, 1, 2)), labels[0] if labels else None)
