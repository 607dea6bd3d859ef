"""Every image once an epoch, in an order that the generator alone decides."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.datasets.batches import in_order, shuffled, to_device, to_float, to_uint8


def numbered(count: int) -> torch.Tensor:
    """Image i holds the value i on its left half and 0 on its right.  uint8 (N, 1, 2, 2)"""
    images = torch.zeros(count, 1, 2, 2, dtype=torch.uint8)
    images[..., 0] = torch.arange(count, dtype=torch.uint8)[:, None, None]
    return images


def test_packed_images_become_channels_first() -> None:
    packed = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    assert torch.equal(
        to_device(packed, torch.device("cpu")), torch.from_numpy(packed).permute(0, 3, 1, 2)
    )


def test_bytes_survive_the_way_to_float_and_back() -> None:
    every = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(to_float(every)), every)
    assert to_float(every).max() == 1 and to_float(every).min() == 0


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 99))
def test_an_epoch_is_a_permutation_without_its_ragged_end(n: int, size: int, seed: int) -> None:
    size = min(n, size)
    batches = list(shuffled(numbered(n), size, torch.Generator().manual_seed(seed)))
    assert all(batch.shape == (size, 1, 2, 2) for batch in batches)
    seen = [round(float(image[0, 0, 0]) * 255) for batch in batches for image in batch]
    assert len(seen) == len(set(seen)) == n // size * size


def test_the_order_is_the_generators() -> None:
    def first(seed: int) -> list[float]:
        batches = shuffled(numbered(50), 10, torch.Generator().manual_seed(seed))
        return next(iter(batches))[:, 0, 0, 0].tolist()

    assert first(0) == first(0) != first(1)


def test_two_epochs_of_one_generator_differ() -> None:
    random = torch.Generator().manual_seed(0)
    one, two = (torch.cat(list(shuffled(numbered(50), 10, random))) for _ in range(2))
    assert not torch.equal(one, two)


def test_flip_mirrors_about_half_and_keeps_the_rest() -> None:
    images = numbered(200)[1:]
    flipped = torch.cat(list(shuffled(images, 1, torch.Generator().manual_seed(0), flip=True)))
    mirrored = flipped[:, 0, 0, 1] > 0
    assert 60 < mirrored.sum() < 140
    assert ((flipped[:, 0, 0, 0] > 0) ^ mirrored).all(), "each is mirrored or as it was"


def test_in_order_gives_all_of_them() -> None:
    whole = torch.cat(list(in_order(numbered(11), 4)))
    assert torch.equal(to_uint8(whole), numbered(11))
