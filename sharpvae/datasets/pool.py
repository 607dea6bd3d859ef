"""Images that can be had one by one, before any is chosen or resized."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sharpvae.datasets.decode import Pixels
from sharpvae.datasets.packed import SPLITS, Skipped, SplitName

TRAIN, VALIDATION, TEST = range(3)  # positions in SPLITS, as in `Pool.own_split`


@dataclass(frozen=True)
class Pool:
    """What a reader makes of a dataset's files.

    Attributes:
        title, source: for the card.
        place: the folder of the images, or of the class folders, for messages.
        names: [N] one name an image below `place`, the same on every machine.
        image: index -> uint8 [H, W, C] of any size, C 1 or 3; raises `decode.UnusableImageError`;
            called from several threads at once.
        labels: int64 [N], or None.
        class_names: label -> name, or None.
        own_split: int8 [N], the publishers' split as a position in SPLITS, or None.
        factors: int64 [N, K], or None.
        factor_names: of the K factors.
        skipped: files that were passed over while listing.
    """

    title: str
    source: str
    place: str
    names: Sequence[str]
    image: Callable[[int], Pixels]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] | None = None
    own_split: NDArray[np.int8] | None = None
    factors: NDArray[np.int64] | None = None
    factor_names: tuple[str, ...] | None = None
    skipped: list[Skipped] = field(default_factory=list)

    @property
    def own_splits(self) -> frozenset[SplitName]:
        """The splits that the publishers set apart."""
        if self.own_split is None:
            return frozenset()
        return frozenset(SPLITS[position] for position in np.unique(self.own_split).tolist())
