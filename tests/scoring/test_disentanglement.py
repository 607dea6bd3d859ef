"""MIG and DCI of codes that are disentangled, rotated, random, collapsed, or too few."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy.linalg import hadamard

from sharpvae.scoring.disentanglement import LEAST, MOST, dci, mig

RANDOM = np.random.default_rng(0)
FACTORS = RANDOM.integers(0, (3, 4, 5, 6), (600, 4))
STANDARD = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
CODE = (STANDARD + RANDOM.normal(0, 0.02, STANDARD.shape)).astype(np.float32)
ROTATED = CODE @ (hadamard(4) / 2).astype(np.float32)  # every dimension is of all factors alike
NOISE = RANDOM.normal(size=CODE.shape).astype(np.float32)


@pytest.mark.parametrize("score", [mig, dci])
def test_a_dimension_for_each_factor_is_near_one_and_a_mixture_or_noise_near_zero(score) -> None:
    assert 0.93 < score(CODE, FACTORS) <= 1
    assert 0.9 < score(np.concatenate([CODE, NOISE], axis=1), FACTORS) <= 1
    assert 0 <= score(ROTATED, FACTORS) < 0.15
    assert 0 <= score(NOISE, FACTORS) < 0.15


@pytest.mark.parametrize(("score", "within"), [(mig, 1e-12), (dci, 0.1)])
def test_order_sign_and_scale_of_dimensions_do_not_matter(score, within: float) -> None:
    """Trees break ties by the order of dimensions, so DCI moves a little."""
    mixed = CODE @ (np.eye(4) + 0.3 * RANDOM.normal(size=(4, 4))).astype(np.float32)
    before = score(mixed, FACTORS)
    assert 0.02 < before < 0.98
    assert score(mixed[:, [2, 0, 3, 1]], FACTORS) == pytest.approx(before, abs=within)
    assert score(-mixed, FACTORS) == pytest.approx(before, abs=within)
    assert score(mixed * np.float32([1, 4, 16, 0.25]), FACTORS) == pytest.approx(before, abs=within)


def test_mig_is_that_of_a_table_worked_out_by_hand() -> None:
    """Two dimensions of two values: (40, 10; 10, 40) against the factor, and independent of it.

    Per 100: I = 2 * 0.4 ln(0.4 / 0.25) + 2 * 0.1 ln(0.1 / 0.25) = 0.192745, over ln 2.
    """
    factor = np.repeat([0, 1], 50)
    close = np.concatenate([np.repeat([0, 1], [40, 10]), np.repeat([0, 1], [10, 40])])
    apart = np.tile([0, 1], 50)
    mean = np.stack([apart, close], axis=1).astype(np.float32)
    assert mig(mean, factor[:, None]) == pytest.approx(0.192745 / np.log(2), abs=1e-6)
    # A second dimension that tells as much leaves no gap, and one dimension has no second.
    assert mig(mean[:, [1, 1]], factor[:, None]) == pytest.approx(0, abs=1e-12)
    assert mig(mean[:, 1:], factor[:, None]) == pytest.approx(0.192745 / np.log(2), abs=1e-6)


def test_two_dimensions_of_one_factor_are_disentangled_but_leave_no_gap() -> None:
    twice = np.concatenate([CODE, CODE], axis=1)
    assert dci(twice, FACTORS) > 0.93
    assert mig(twice, FACTORS) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("score", [mig, dci])
def test_a_factor_of_one_value_is_left_out(score) -> None:
    more = np.concatenate([FACTORS[:, :2], np.full((600, 1), 7), FACTORS[:, 2:]], axis=1)
    assert score(CODE, more) == score(CODE, FACTORS)
    with pytest.raises(ValueError, match="one value"):
        score(CODE, more[:, 2:3])


@pytest.mark.parametrize("score", [mig, dci])
def test_what_cannot_be_scored_says_why(score) -> None:
    with pytest.raises(ValueError, match="1 images with known factors; 100 are needed"):
        score(CODE[:1], FACTORS[:1])
    with pytest.raises(ValueError, match="must be"):
        score(CODE, FACTORS[:-1])
    with pytest.raises(ValueError, match="not finite"):
        score(np.where(np.arange(4) == 2, np.nan, CODE), FACTORS)
    assert score(CODE[:LEAST], FACTORS[:LEAST]) > 0.5


@pytest.mark.parametrize("score", [mig, dci])
def test_a_collapsed_code_tells_of_nothing(score) -> None:
    assert score(np.zeros((200, 3), np.float32), FACTORS[:200]) == 0


def test_one_factor_has_no_dci() -> None:
    with pytest.raises(ValueError, match="one factor varies"):
        dci(CODE, FACTORS[:, :1])


@pytest.mark.parametrize("score", [mig, dci])
def test_the_same_twice_and_of_no_more_images_than_are_needed(score) -> None:
    assert score(CODE, FACTORS) == score(CODE.copy(), FACTORS.copy())
    many = np.tile(CODE, (20, 1)), np.tile(FACTORS, (20, 1))
    assert score(*many) == score(many[0][:MOST], many[1][:MOST])


def test_a_hundred_dimensions_take_seconds() -> None:
    mean = RANDOM.normal(size=(1000, 128)).astype(np.float32)
    factors = RANDOM.integers(0, (3, 4, 12, 12, 12), (1000, 5))
    before = time.process_time()
    mig(mean, factors), dci(mean, factors)
    assert time.process_time() - before < 10
