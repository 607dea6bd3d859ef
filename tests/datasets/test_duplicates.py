from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sharpvae.datasets.choose import identities
from sharpvae.datasets.decode import fingerprints


@given(arrays.arrays(np.uint8, (4, 5, 5, 3)), st.integers(0, 74), st.integers(1, 255))
def test_a_change_of_one_byte_always_shows(images: np.ndarray, place: int, change: int) -> None:
    """75 bytes: eighteen words and three bytes that fill no word."""
    before = fingerprints(images)
    assert before.dtype == np.uint64
    changed = images.copy()
    changed.reshape(4, -1)[2, place] ^= np.uint8(change)
    after = fingerprints(changed)
    assert (after != before).tolist() == [False, False, True, False]
    np.testing.assert_array_equal(fingerprints(images[1:3]), before[1:3])  # each by itself


def test_many_images_that_differ_little_do_not_collide() -> None:
    """Every image with one or two white pixels among 256."""
    single = np.eye(256, dtype=np.uint8) * np.uint8(255)
    double = np.concatenate([np.maximum(single[i], single[i + 1 :]) for i in range(255)])
    images = np.concatenate([single, double]).reshape(-1, 16, 16, 1)
    assert len(set(fingerprints(images).tolist())) == len(images) == 256 + 256 * 255 // 2


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(1, 12))
def test_equal_numbers_for_equal_contents_alone(values: list[int], modulus: int) -> None:
    """Fingerprints that collide on purpose: the contents decide."""
    asked: list[int] = []

    def content(position: int) -> bytes:
        asked.append(position)
        return bytes([values[position]])

    found = identities([value % modulus for value in values], content)
    assert found == [values.index(value) for value in values]
    alone = [
        i for i, v in enumerate(values) if [w % modulus for w in values].count(v % modulus) == 1
    ]
    assert not set(alone) & set(asked)
