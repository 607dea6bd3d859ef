from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from sharpvae.datasets import decode as parallel
from sharpvae.datasets.decode import Pixels, UnusableImageError, decoded, fit_square
from tests.datasets.samples import colourful

SIZES = [(20, 20), (20, 20), (31, 9), (8, 8), (1200, 1000)]


def image(index: int) -> Pixels:
    """Every seventh is unusable; sizes and channels vary."""
    if index % 7 == 3:
        raise UnusableImageError(f"number {index}")
    picture = colourful(index, SIZES[index % 5])
    pixels = np.asarray(picture.convert("L") if index % 4 == 0 else picture)
    return pixels.reshape(*pixels.shape[:2], -1)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("count", [1, 40, 300])
def test_one_by_one_or_many_at_once(
    workers: int, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The threads and the batches of one size change nothing."""
    monkeypatch.setattr(parallel, "cores", lambda: workers)
    indices = list(range(5, 5 + count))
    found = [item for chunk in decoded(image, indices, 16, "crop") for item in chunk]
    assert [item.index for item in found] == indices
    for item in found:
        if item.index % 7 == 3:
            assert (item.pixels, item.reason) == (None, f"number {item.index}")
            continue
        expected = fit_square(image(item.index)[None], 16, "crop")[0]
        np.testing.assert_array_equal(item.pixels, expected)
        assert item.digest == hashlib.sha256(expected.tobytes()).digest()
        assert item.reason == ""


def test_pytorch_s_threads_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "cores", lambda: 2)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for _ in decoded(image, range(300), 16, "pad"):
            pass
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 2])
def test_grey_saved_as_colour_is_grey(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """And one coloured pixel makes colour, wherever it is."""
    monkeypatch.setattr(parallel, "cores", lambda: workers)
    grey = np.asarray(colourful(0, (16, 16)).convert("L"))
    as_colour = np.repeat(grey[:, :, None], 3, axis=2)
    almost = as_colour.copy()
    almost[15, 15, 1] ^= 1
    kinds = [grey[:, :, None], as_colour, almost]
    found = [item for chunk in decoded(kinds.__getitem__, [0, 1, 2], 16, "pad") for item in chunk]
    assert [item.pixels.shape[2] for item in found] == [1, 1, 3]
    np.testing.assert_array_equal(found[1].pixels, kinds[0])
    np.testing.assert_array_equal(found[2].pixels, almost)
    assert found[0].digest == found[1].digest != found[2].digest
