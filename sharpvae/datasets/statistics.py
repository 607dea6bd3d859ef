"""Statistics of the real images for the card, taken a few at a time and added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpvae.metrics.image_statistics import laplacian_variance


class Moments:
    """Sums over images that pass by, exact integers, so that no order of addition matters."""

    def __init__(self, channels: int) -> None:
        self.pixels = 0  # of one channel
        self.sums = np.zeros(channels, dtype=np.uint64)
        self.squares = np.zeros(channels, dtype=np.uint64)

    def add(self, images: NDArray[np.uint8]) -> None:
        """Add uint8 [n, H, W, C]."""
        channels = images.shape[3]
        # Whole rows of the image are added at once, a few images at a time: it stays in cache,
        # and 32 bits hold a column of 65 thousand squares.
        for start in range(0, len(images), 16):
            rows = images[start : start + 16].reshape(-1, images.shape[2] * channels)
            squares = np.square(rows, dtype=np.uint16)
            self.sums += _by_channel(rows.sum(axis=0, dtype=np.uint32), channels)
            self.squares += _by_channel(squares.sum(axis=0, dtype=np.uint32), channels)
        self.pixels += images[..., 0].size

    @classmethod
    def total(cls, parts: Sequence[Moments]) -> Moments:
        """Of all images of all parts."""
        whole = cls(len(parts[0].sums))
        for part in parts:
            whole.pixels += part.pixels
            whole.sums += part.sums
            whole.squares += part.squares
        return whole

    def mean(self) -> list[float]:
        """Of each channel, in [0, 1]."""
        return [int(total) / (255 * self.pixels) for total in self.sums]

    def std(self) -> list[float]:
        """Population standard deviation of each channel, in [0, 1]."""
        pairs = zip(self.sums.tolist(), self.squares.tolist(), strict=True)
        variances = [self.pixels * square - total**2 for total, square in pairs]
        return [variance**0.5 / (255 * self.pixels) for variance in variances]


def _by_channel(columns: NDArray[np.uint32], channels: int) -> NDArray[np.uint64]:
    """[W * C] => [C]"""
    return columns.reshape(-1, channels).sum(axis=0, dtype=np.uint64)


@dataclass(frozen=True)
class Statistics:
    """Fields of the card that the images themselves decide."""

    mean: list[float]
    std: list[float]
    sharpness: float
    brightness: float


@dataclass(frozen=True)
class Glance:
    """Statistics of a few images, to be added up."""

    moments: Moments
    sharpness: float  # summed over images
    count: int


def glance(images: NDArray[np.uint8], sharpness: bool) -> Glance:
    """Look at uint8 [n, H, W, C]; `sharpness` costs ten times the moments."""
    moments = Moments(images.shape[3])
    moments.add(images)
    total = float(laplacian_variance(images).sum()) if sharpness else 0.0
    return Glance(moments, total, len(images))


def summary(train: Sequence[Glance], test: Sequence[Glance]) -> Statistics:
    """The statistics of the splits; the glances at test have taken the sharpness too."""
    mean = Moments.total([part.moments for part in test]).mean()
    whole = Moments.total([part.moments for part in train])
    return Statistics(
        mean=whole.mean(),
        std=whole.std(),
        sharpness=sum(part.sharpness for part in test) / sum(part.count for part in test),
        brightness=sum(mean) / len(mean),
    )
