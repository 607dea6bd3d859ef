from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharpvae.datasets import pack as module
from sharpvae.datasets.pack import Scratch, write_all


@given(
    st.lists(st.lists(st.sampled_from([1, 3]), max_size=6), min_size=1, max_size=5),
    st.data(),
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_images_come_back_in_any_order(
    tmp_path: Path, chunks: list[list[int]], draw: st.DataObject
) -> None:
    rng = np.random.default_rng(0)
    images: list[np.ndarray] = []
    with closing(Scratch(tmp_path / "pixels", 4)) as scratch:
        for chunk in chunks:
            new = [rng.integers(0, 256, (4, 4, channels), dtype=np.uint8) for channels in chunk]
            scratch.append(new, [len(images) + i for i in range(len(new))])
            images += new
        assert len(scratch) == len(images)
        assert scratch.fingerprints == list(range(len(images)))
        assert scratch.channels == max([image.shape[2] for image in images], default=1)
        if images:
            rows = draw.draw(st.lists(st.integers(0, len(images) - 1), max_size=12))
            found = scratch.gather(rows)
            assert found.shape == (len(rows), 4, 4, scratch.channels)
            for image, row in zip(found, rows, strict=True):
                expected = np.broadcast_to(images[row], (4, 4, scratch.channels))
                np.testing.assert_array_equal(image, expected)
                assert scratch.content(row) == images[row].tobytes()
    assert not (tmp_path / "pixels").exists()


def test_the_file_goes_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), closing(Scratch(tmp_path / "pixels", 4)):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.integers(1, 9), max_size=12), st.integers(1, 7))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_the_system_takes_in_parts_is_written_whole(
    tmp_path: Path, sizes: list[int], most: int
) -> None:
    """A system that takes `most` bytes at a time."""
    arrays = [np.full((1, size, 1), 65 + i, dtype=np.uint8) for i, size in enumerate(sizes)]

    def some(handle: int, buffers: list[memoryview]) -> int:
        return os.write(handle, b"".join(buffers)[:most])

    with (tmp_path / "file").open("wb") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module.os, "writev", some)
        write_all(file.fileno(), arrays)
    assert (tmp_path / "file").read_bytes() == b"".join(array.tobytes() for array in arrays)
