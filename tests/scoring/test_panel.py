"""One scale for all judges, distances put together, features looked at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.scoring.judges import LearnedJudge, save_learned
from sharpvae.scoring.panel import (
    DIMENSIONS,
    TINY,
    Scale,
    combined,
    extract,
    load_reals,
    members,
    save_reals,
)
from tests.scoring.pictures import METRICS, discs

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)


def test_scaled_features_have_mean_0_and_deviation_1() -> None:
    real = RANDOM.normal(5, np.geomspace(1, 3, 20), (300, 20))
    scaled = Scale.of(real)(real)
    assert scaled.mean(0) == pytest.approx(np.zeros(20), abs=1e-12)
    assert scaled.std(0) == pytest.approx(np.ones(20))


def test_a_feature_that_hardly_varies_counts_as_a_tenth_of_the_median() -> None:
    real = RANDOM.normal(size=(300, 5)) * [0, 1e-9, 1, 2, 3]
    scale = Scale.of(real)
    usual = np.median(real.std(0))
    assert scale.deviation[:2] == pytest.approx([0.1 * usual] * 2)
    assert scale.deviation[2:] == pytest.approx(real.std(0)[2:])


def test_a_judge_with_many_dead_features_still_has_a_scale() -> None:
    real = RANDOM.normal(size=(300, 8)) * [0, 0, 0, 0, 0, 0, 2, 2]
    scale = Scale.of(real)
    assert scale.deviation[:6] == pytest.approx([0.1 * np.median(real.std(0)[6:])] * 6)
    assert np.isfinite(scale(real)).all()


def test_images_that_are_all_alike_have_none() -> None:
    with pytest.raises(ValueError, match="no feature varies"):
        Scale.of(np.ones((10, 4)))


def test_few_features_are_kept_and_many_projected_alike_every_time() -> None:
    for count, kept in ((DIMENSIONS, DIMENSIONS), (DIMENSIONS + 1, DIMENSIONS)):
        real = RANDOM.normal(size=(10, count))
        scale = Scale.of(real)
        assert scale(real).shape == (10, kept)
        assert np.array_equal(scale(real), scale(real))
        assert scale(real)[3:5] == pytest.approx(scale(real[3:5]))


def test_the_projection_keeps_squared_distances_on_average() -> None:
    real = RANDOM.normal(size=(80, 1000))
    scale = Scale.of(real)
    before, after = (real - scale.mean) / scale.deviation, scale(real)
    ratios = np.square(after[:40] - after[40:]).sum(1) / np.square(before[:40] - before[40:]).sum(1)
    assert ratios.mean() == pytest.approx(1, abs=0.05)
    assert ratios.std() < 0.15, "and nearly each"


def test_distances_are_combined_on_the_logarithm() -> None:
    values = {"a": 1.0, "b": 100.0, "c": 8.0}
    assert combined(values, {"a": 1, "b": 1, "c": 0}) == pytest.approx(10)
    assert combined(values, {"a": 0, "b": 0, "c": 5}) == pytest.approx(8)
    assert combined(values, {"a": 3, "b": 1, "c": 0}) == pytest.approx(100 ** (1 / 4))
    assert combined({"a": 0.0}, {"a": 1}) == pytest.approx(TINY)
    with pytest.raises(ValueError, match="no judge"):
        combined(values, dict.fromkeys(values, 0.0))


@given(st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.1, 10))
def test_a_ratio_of_all_judges_is_the_panels(a: float, b: float, factor: float) -> None:
    weights = {"a": 1.0, "b": 2.0}
    once, scaled = (
        combined({"a": a, "b": b}, weights),
        combined({"a": a * factor, "b": b * factor}, weights),
    )
    assert scaled / once == pytest.approx(factor)


class Counting(torch.nn.Module):
    """Mean and first pixel; it remembers how many images it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def features(self, images: torch.Tensor) -> torch.Tensor:
        assert images.dtype == torch.uint8
        self.seen.append(len(images))
        return torch.stack([images.float().mean((1, 2, 3)), images[:, -1, 0, 0].float()], 1)


def test_equal_images_are_looked_at_once_and_stay_in_order() -> None:
    different = RANDOM.integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)
    order = [3, 0, 0, 4, 1, 3, 2, 0, 1]
    images, judge = different[order], Counting()
    found = extract(judge, images, 2, CPU)
    assert judge.seen == [2, 2, 1]
    assert found.dtype == np.float64
    assert found[:, 0] == pytest.approx(images.mean((1, 2, 3)), rel=1e-6)
    assert found[:, 1].tolist() == images[:, 0, 0, 2].tolist()
    constant = np.broadcast_to(different[:1], (7, 8, 8, 3))
    assert extract(judge, constant, 4, CPU).shape == (7, 2) and judge.seen[3:] == [1]


def test_scales_and_features_are_read_as_they_were_written(tmp_path: Path) -> None:
    real = RANDOM.normal(size=(20, 3))
    scales = {"imagenet": Scale.of(real), "a/b": Scale.of(2 * real)}
    reals = {"imagenet/validation": real[:5], "imagenet/test": real}
    save_reals(tmp_path / "reals.npz", scales, reals)
    found, features = load_reals(tmp_path / "reals.npz")
    assert found.keys() == scales.keys() and features.keys() == reals.keys()
    for name, scale in scales.items():
        assert all(np.array_equal(a, b) for a, b in zip(found[name], scale, strict=True))
    assert all(np.array_equal(features[name], reals[name]) for name in reals)


def test_the_members_and_which_of_them_leads(tmp_path: Path) -> None:
    judge = LearnedJudge(3, 2, [4])
    save_learned(tmp_path, judge, {"image_channels": 3, "classes": 2, "widths": [4]})
    panel = members(METRICS, 3, tmp_path)
    assert list(panel) == ["imagenet", "learned", "random", "pixels"]
    assert list(members(METRICS, 3, judge)) == list(panel)
    assert list(members(METRICS, 3, None)) == ["imagenet", "random", "pixels"]
    images = discs(3, 0, channels=3)
    assert {name: extract(one, images, 2, CPU).shape[1] for name, one in panel.items()} == {
        "imagenet": 864, "learned": 8, "random": 224, "pixels": 192,
    }  # fmt: skip
