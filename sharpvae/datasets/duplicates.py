"""Which images are equal, without keeping any in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def fingerprints(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """One number an image; equal images have equal ones, others hardly ever do.

    A sum of the pixels, four bytes at a time, by fixed random weights, modulo 2^64 (multilinear
    hashing): half the time of a cryptographic hash, and in one call for many images.

    Args:
        images: uint8 [N, H, W, C], contiguous.

    Returns:
        uint64 [N].
    """
    flat = images.reshape(len(images), -1)
    count = flat.shape[1] // 4
    words = np.ascontiguousarray(flat[:, : 4 * count]).view(np.uint32).astype(np.uint64)
    rest = flat[:, 4 * count :].astype(np.uint64)
    weights = _weights(count + rest.shape[1])
    return np.asarray(words @ weights[:count] + rest @ weights[count:])


@lru_cache(maxsize=4)
def _weights(count: int) -> NDArray[np.uint64]:
    """Odd, so that a change of one word always shows."""
    random = np.random.Generator(np.random.PCG64(0))
    return random.integers(0, 2**64, count, dtype=np.uint64) | np.uint64(1)


def identities(found: Sequence[int], content: Callable[[int], bytes]) -> list[int]:
    """Equal numbers for equal images, and for no others.

    Args:
        found: [N] the fingerprint of each image.
        content: position -> all there is to the image; asked only where fingerprints agree.

    Returns:
        [N] the position of the first image that is equal to each.
    """
    numbers = np.array(found, dtype=np.uint64)
    _, inverse, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    first: dict[tuple[int, bytes], int] = {}
    same = list(range(len(found)))
    for position in np.flatnonzero(counts[inverse] > 1).tolist():
        key = (int(inverse[position]), hashlib.sha256(content(position)).digest())
        same[position] = first.setdefault(key, position)
    return same
