"""Many images decoded and resized at once, on all cores, in the order in which they were asked."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from sharpvae.datasets.decode import Pixels, UnusableImageError
from sharpvae.datasets.duplicates import fingerprints
from sharpvae.datasets.parallel import on_all_cores
from sharpvae.datasets.resize import Fit, fit_square

_CHUNK = 64  # images of one piece of work at most,
_CHUNK_BYTES = 1 << 21  # and about so much when they are done: memory must not grow with their size
_TOGETHER = 1 << 22  # bytes of images of one size that are resized in one call
_INLINE = 256  # so few images are done before the threads have started


@dataclass(frozen=True, slots=True)
class Decoded:
    """What became of one image: its pixels with their fingerprint, or why there are none."""

    index: int
    pixels: Pixels | None
    fingerprint: int
    reason: str


def decoded(
    image: Callable[[int], Pixels], indices: Sequence[int], size: int, fit: Fit
) -> Iterator[list[Decoded]]:
    """Decode and resize the images `indices`, and yield them in this order, a few at a time.

    The result does not depend on the number of cores.

    Args:
        image: index -> uint8 [H, W, C]; raises UnusableImageError; called from several threads.
        size, fit: as `resize.fit_square`.

    Yields:
        for each index its pixels, uint8 [size, size, C], or why there are none; C is 1 whenever
        all three channels are equal.
    """
    count = min(_CHUNK, max(1, _CHUNK_BYTES // (3 * size**2)))
    chunks = [indices[start : start + count] for start in range(0, len(indices), count)]
    # The first ones here: whether they need PyTorch for a resize tells whether to tame its threads.
    few = chunks[: _INLINE // _CHUNK]
    yield from (_work(image, chunk, size, fit) for chunk in few)
    with _one_thread_each():
        yield from on_all_cores(lambda chunk: _work(image, chunk, size, fit), chunks[len(few) :])


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """PyTorch, if anybody has asked for it, would start a thread a core for every resize."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work(
    image: Callable[[int], Pixels], indices: Sequence[int], size: int, fit: Fit
) -> list[Decoded]:
    """One chunk, in order. Neighbours of one size are resized together, which is quicker."""
    done: list[Decoded] = []
    waiting: list[tuple[int, Pixels]] = []
    for index in indices:
        try:
            pixels = image(index)
        except UnusableImageError as error:
            done += _resized(waiting, size, fit)
            waiting = []
            done.append(Decoded(index, None, 0, str(error)))
            continue
        full = (len(waiting) + 1) * pixels.nbytes > _TOGETHER
        if waiting and (full or waiting[0][1].shape != pixels.shape):
            done += _resized(waiting, size, fit)
            waiting = []
        waiting.append((index, pixels))
    return done + _resized(waiting, size, fit)


def _resized(waiting: list[tuple[int, Pixels]], size: int, fit: Fit) -> list[Decoded]:
    """Bring images of one size to squares; those without colour get one channel."""
    if not waiting:
        return []
    squares = fit_square(np.stack([pixels for _, pixels in waiting]), size, fit)
    row = squares[:, 0]  # settles it for nearly every photograph
    coloured = (row != row[..., :1]).any(axis=(1, 2)).tolist()
    done = []
    found = fingerprints(squares).tolist()
    for (index, _), pixels, fingerprint, colour in zip(
        waiting, squares, found, coloured, strict=True
    ):
        if colour or pixels.shape[2] == 1 or (pixels != pixels[..., :1]).any():
            done.append(Decoded(index, pixels, fingerprint, ""))
        else:
            grey = np.ascontiguousarray(pixels[..., :1])
            done.append(Decoded(index, grey, int(fingerprints(grey[None])[0]), ""))
    return done
