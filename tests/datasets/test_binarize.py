"""Pixels made black or white once and for all: by their brightness, by the seed, image by image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sharpvae.core.console import Progress
from sharpvae.datasets import pack as packing
from sharpvae.datasets.pack import binarized, prepare
from sharpvae.images.packed import SPLITS, load_split
from tests.datasets.samples import FEW, Config, fill

RAMP = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)


def test_black_stays_black_white_white_and_the_mean_of_many_draws_is_the_image() -> None:
    draws = np.repeat(RAMP, 4000, axis=0)
    found = binarized(draws, iter([str(index) for index in range(4000)]), 0)
    assert found.dtype == np.uint8 and set(np.unique(found)) == {0, 255}
    mean = found.mean(axis=0) / 255
    assert mean.flat[0] == 0 and mean.flat[255] == 1
    assert np.abs(mean - RAMP[0] / 255).max() < 5 * 0.5 / 4000**0.5


def test_channels_are_drawn_apart() -> None:
    grey = np.full((1, 16, 16, 3), 128, np.uint8)
    found = binarized(grey, iter(["a"]), 0)
    assert (found[..., 0] != found[..., 1]).any() and (found[..., 1] != found[..., 2]).any()


def test_the_draw_is_of_seed_and_name_whatever_stands_beside_the_image() -> None:
    images = np.repeat(RAMP, 5, axis=0)
    whole = binarized(images, iter("abcde"), 3)
    names = iter("abcde")
    parts = [binarized(images[:2], names, 3), binarized(images[2:], names, 3)]
    assert np.array_equal(whole, np.concatenate(parts))
    assert np.array_equal(whole[3:4], binarized(RAMP, iter("d"), 3))
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(whole, binarized(images, iter("abcde"), 4))


def test_prepare_binarises_what_it_packs(
    data_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The splits stay the same images; a smaller chunk changes no byte."""
    fill(tmp_path / "flat", 40)

    def packed(name: str, **changes: object) -> dict[str, np.ndarray]:
        directory = tmp_path / name
        directory.mkdir()
        config = data_config(path=str(tmp_path / "flat"), **changes)
        card = prepare(config, FEW, tmp_path / "raw", directory, Progress())
        assert card.binarize == changes.get("binarize")
        return {split: np.array(load_split(directory, split).images) for split in SPLITS}

    plain, drawn = packed("plain"), packed("drawn", binarize="static")
    monkeypatch.setattr(packing, "_CHUNK", 16 * 16 * 3 * 4)
    again = packed("again", binarize="static")
    for split in SPLITS:
        assert set(np.unique(drawn[split])) == {0, 255}
        assert np.array_equal(drawn[split], again[split])
        assert (drawn[split][plain[split] == 0] == 0).all()
        assert (drawn[split][plain[split] == 255] == 255).all()
    # Of an even brightness p: p (1 - p) + (1 - p) p on average.
    turned = np.abs(drawn["train"] / 255 - plain["train"] / 255)
    assert turned[:, 3:12, 2:14].mean() == pytest.approx(1 / 3, abs=0.02)
