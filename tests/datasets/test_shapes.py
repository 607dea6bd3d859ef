"""The dataset that is drawn: through `prepare`, and image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.shapes import FACTORS, SHAPES, VALUES, draw, shapes_pool
from sharpvae.images.packed import SPLITS, load_split
from tests.datasets.samples import Config, packed, refusal


def centre(image: np.ndarray) -> tuple[float, float]:
    """Centre of mass in x and y, as a share of the side."""
    mass = image[..., 0] / image.sum(dtype=np.float64)
    middle = (np.arange(len(image)) + 0.5) / len(image)
    return float(mass.sum(axis=0) @ middle), float(mass.sum(axis=1) @ middle)


def test_as_many_as_the_catalogue_says_all_different_and_of_every_value() -> None:
    dataset = entry("shapes")
    assert dataset.class_names == SHAPES
    pool = shapes_pool(dataset, 32)
    factors = pool.factors
    assert factors.shape == (dataset.images, len(FACTORS)) and factors.dtype == np.int64
    assert pool.factor_names == FACTORS and np.array_equal(pool.labels, factors[:, 0])
    assert len(np.unique(factors, axis=0)) == len(set(pool.names)) == dataset.images
    for column, count in zip(factors.T, VALUES, strict=True):
        shares = np.bincount(column, minlength=count) / len(column)
        assert shares == pytest.approx(np.full(count, 1 / count), abs=0.02)


def test_the_packed_images_are_those_of_their_factors(data_config: Config, tmp_path: Path) -> None:
    config = data_config(name="shapes", image_size=32, subset=600)
    card, directory = packed(config, tmp_path)
    assert sum(card.counts.values()) == 600 and card.duplicates_removed == 0
    assert card.channels == 1 and card.factor_names == list(FACTORS)
    assert card.class_names == list(SHAPES)
    for split in SPLITS:
        data = load_split(directory, split)
        assert np.array_equal(data.labels, data.factors[:, 0])
        again = [draw(row, 32) for row in data.factors.tolist()]
        np.testing.assert_array_equal(data.images, again)


def test_the_same_seed_gives_the_same_bytes(data_config: Config, tmp_path: Path) -> None:
    sums = []
    for name, seed in (("one", 0), ("again", 0), ("other", 1)):
        config = data_config(name="shapes", image_size=16, subset=60, seed=seed)
        _, directory = packed(config, tmp_path, name)
        sums.append([(directory / f"{s}{e}.npy").read_bytes() for s in SPLITS
                     for e in ("", "_factors")])  # fmt: skip
    assert sums[0] == sums[1] != sums[2]


def test_each_factor_does_what_its_name_says() -> None:
    middle = [0, 1, 0, 6, 3]
    small, large = (draw([0, scale, 0, 6, 3], 64).sum(dtype=float) for scale in (0, 3))
    assert large / small == pytest.approx((0.19 / 0.10) ** 2, rel=0.05)
    for shape in range(3):
        x, y = centre(draw([shape, 1, 5, 2, 9], 64))
        right, _ = centre(draw([shape, 1, 5, 3, 9], 64))
        _, below = centre(draw([shape, 1, 5, 2, 10], 64))
        assert (right - x, below - y) == pytest.approx((0.04, 0.04), abs=0.002)
        turned = [draw([shape, 2, turn, 6, 6], 64).tobytes() for turn in range(VALUES[2])]
        assert len(set(turned)) == VALUES[2]
    wide = draw([1, 3, 0, 6, 6], 64)[..., 0] > 127
    assert wide.any(axis=0).sum() > 1.5 * wide.any(axis=1).sum()
    heart = draw([2, 3, 0, 6, 6], 64)[..., 0].sum(axis=1, dtype=float)
    rows = np.flatnonzero(heart)
    assert heart[rows[0] : rows[len(rows) // 2]].sum() > heart[rows[len(rows) // 2] :].sum()
    assert draw(middle, 20).shape == (20, 20, 1)


def test_no_shape_is_cut_off_and_edges_are_soft() -> None:
    for shape in range(3):
        for turn in range(VALUES[2]):
            for place in ((0, 0), (11, 11), (0, 11)):
                image = draw([shape, 3, turn, *place], 128)[..., 0]
                edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
                assert not edge.any() and image.max() == 255
    assert len(np.unique(draw([1, 2, 4, 6, 6], 32))) > 8


def test_a_path_is_refused(data_config: Config, tmp_path: Path) -> None:
    error = refusal(data_config(name="shapes", image_size=32, path=str(tmp_path)), tmp_path)
    assert error.where == "data.path" and "drawn" in error.expected
