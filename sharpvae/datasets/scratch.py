"""Decoded pixels on disk, as many as come, so that memory does not grow with the dataset."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpvae.datasets.decode import Pixels

_AT_ONCE = 512  # buffers in one call; systems take 1024


class Scratch:
    """Square images appended to one file; grey ones take a third of the room of RGB ones.

    A context manager: on leaving, the file is removed.

    Attributes:
        size: height and width.
        fingerprints: [N] of the pixels of each image; see `duplicates`.
        channels: the most that any image has, 1 or 3; 1 when there is none.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self.size = path, size
        self._file = path.open("w+b")
        self._offsets: list[int] = [0]  # where each image starts, and where the next one will
        self.fingerprints: list[int] = []
        self.channels = 1

    def close(self) -> None:
        """Remove the file."""
        self._path.unlink(missing_ok=True)
        self._file.close()

    def __len__(self) -> int:
        return len(self.fingerprints)

    def append(self, images: Sequence[Pixels], fingerprints: Sequence[int]) -> None:
        """Add contiguous images of the size given at the start, with their fingerprints."""
        write_all(self._file.fileno(), images)
        for image in images:
            self._offsets.append(self._offsets[-1] + image.nbytes)
            self.channels = max(self.channels, image.shape[2])
        self.fingerprints += fingerprints
        self.__dict__.pop("_starts", None)
        self.__dict__.pop("_sizes", None)

    def content(self, row: int) -> bytes:
        """The bytes of one image, as many as it has."""
        return os.pread(self._file.fileno(), int(self._sizes[row]), int(self._starts[row]))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        return np.array(self._offsets[:-1], dtype=np.int64)

    @cached_property
    def _sizes(self) -> NDArray[np.int64]:
        return np.array(self._offsets[1:], dtype=np.int64) - self._starts

    def gather(self, indices: Sequence[int] | NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [len(indices), H, W, C] with `channels` channels; grey fills all of them.

        Safe to call from several threads.
        """
        images = np.empty((len(indices), self.size, self.size, self.channels), dtype=np.uint8)
        rows = np.asarray(indices, dtype=np.int64)
        starts, sizes = self._starts[rows], self._sizes[rows]
        # Neighbours in the file that go to neighbouring rows are read in one piece.
        breaks = np.flatnonzero((starts[1:] != starts[:-1] + sizes[:-1]) | (np.diff(sizes) != 0))
        edges = [0, *(breaks + 1).tolist(), len(rows)] if len(rows) else []
        for first, last in pairwise(edges):
            channels = int(sizes[first]) // self.size**2
            run = images[first:last]
            start, handle = int(starts[first]), self._file.fileno()
            if channels == self.channels:
                buffer = run.data.cast("B")
                while len(buffer):  # the system may give less than is asked for
                    count = os.preadv(handle, [buffer], start)
                    if count == 0:
                        raise OSError(errno.EIO, "the scratch file was cut short")
                    buffer, start = buffer[count:], start + count
            else:
                data = os.pread(handle, (last - first) * int(sizes[first]), start)
                shape = (last - first, self.size, self.size, channels)
                run[:] = np.frombuffer(data, dtype=np.uint8).reshape(shape)
        return images


def write_all(handle: int, images: Sequence[Pixels]) -> None:
    """Write contiguous arrays one after the other, without a copy that joins them.

    Raises:
        OSError: the disk is full, or cannot be written to.
    """
    left = [image.data.cast("B") for image in images]
    while left:
        count = os.writev(handle, left[:_AT_ONCE])
        while left and count >= len(left[0]):
            count -= len(left.pop(0))
        if left:  # a full disk takes a part first, and says so when asked again
            left[0] = left[0][count:]
