"""Decoded pixels on disk, as many as come, so that memory does not grow with the dataset."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray
from PIL import Image


class Scratch:
    """Square images appended to one file; grey ones take a third of the room of RGB ones.

    A context manager: on leaving, the file is removed.

    Attributes:
        size: height and width.
        digests: [N] a hash of the pixels of each image.
        channels: the most that any image has, 1 or 3; 1 when there is none.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path, self.size = path, size
        self._file = path.open("w+b")
        self._places: list[tuple[int, int]] = []  # offset and channels of each image
        self.digests: list[bytes] = []
        self.channels = 1

    def __enter__(self) -> Scratch:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def __len__(self) -> int:
        return len(self._places)

    def append(self, image: Image.Image) -> None:
        """Add an image of mode L or RGB and of the size given at the start."""
        data, channels = image.tobytes(), len(image.getbands())
        self._places.append((self._file.tell(), channels))
        self._file.write(data)
        self.digests.append(hashlib.sha256(data).digest())
        self.channels = max(self.channels, channels)

    def gather(self, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
        """uint8 [len(indices), H, W, C] with `channels` channels; grey fills all of them."""
        images = np.empty((len(indices), self.size, self.size, self.channels), dtype=np.uint8)
        for row, index in enumerate(indices):
            offset, channels = self._places[index]
            self._file.seek(offset)
            data = self._file.read(self.size * self.size * channels)
            images[row] = np.frombuffer(data, np.uint8).reshape(self.size, self.size, channels)
        self._file.seek(0, 2)  # `append` goes on at the end
        return images
