from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharpvae.datasets.pack import Scratch


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
            for image in new:
                scratch.append(image, bytes([len(images)]))
                images.append(image)
        assert scratch.digests == [bytes([number]) for number in range(len(images))]
        assert scratch.channels == max([image.shape[2] for image in images], default=1)
        if images:
            rows = draw.draw(st.lists(st.integers(0, len(images) - 1), max_size=12))
            found = scratch.gather(np.array(rows, dtype=np.int64))
            assert found.shape == (len(rows), 4, 4, scratch.channels)
            for image, row in zip(found, rows, strict=True):
                expected = np.broadcast_to(images[row], (4, 4, scratch.channels))
                np.testing.assert_array_equal(image, expected)
    assert not (tmp_path / "pixels").exists()


def test_the_file_goes_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), closing(Scratch(tmp_path / "pixels", 4)):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
