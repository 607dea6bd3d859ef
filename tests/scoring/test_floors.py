"""Images of known faults, and what is said of a metric that does not see one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from sharpvae.scoring.floors import FLOORS, GOALS, badness, faults, floor_images
from tests.scoring.pictures import discs

TRAIN, HELD_OUT = discs(90, 0), discs(60, 1)
SETS = floor_images(TRAIN, HELD_OUT)


def test_every_floor_is_as_many_images_of_bytes() -> None:
    assert tuple(SETS) == FLOORS
    for images in SETS.values():
        assert images.shape == HELD_OUT.shape and images.dtype == np.uint8
    assert np.array_equal(SETS["real"], HELD_OUT)


@pytest.mark.parametrize("sigma", [1, 2])
def test_blur_is_gaussian(sigma: int) -> None:
    for ours, image in zip(SETS[f"blur_{sigma}"][:5], HELD_OUT, strict=False):
        expected = gaussian_filter(image[..., 0].astype(float), sigma)
        assert np.abs(ours[..., 0] - expected).max() <= 0.5 + 1e-9


def test_noise_has_a_deviation_of_a_tenth_and_is_the_same_on_blur() -> None:
    grey = np.full((20, 32, 32, 1), 128, np.uint8)
    sets = floor_images(grey, grey)
    added = sets["noise"].astype(int) - 128
    assert added.std() == pytest.approx(25.5, rel=0.02)
    assert abs(added.mean()) < 0.5
    assert np.array_equal(sets["blur_noise"], sets["noise"]), "blur leaves grey as it is"
    assert not np.array_equal(added[0], added[1])
    assert np.array_equal(floor_images(grey, grey)["noise"], sets["noise"]), "at every call"


def test_a_checkerboard_alternates_from_pixel_to_pixel() -> None:
    grey = np.full((2, 16, 16, 3), 100, np.uint8)
    board = floor_images(grey, grey)["blur_checkerboard"].astype(int) - 100
    assert set(np.unique(board)) == {-13, 13}, "0.05 of 255"
    assert (board[:, 1:] == -board[:, :-1]).all() and (board[:, :, 1:] == -board[:, :, :-1]).all()


def test_dim_mean_and_duplicates() -> None:
    assert np.abs(SETS["dim"] - 0.7 * HELD_OUT).max() <= 0.5 + 1e-9
    expected = np.round(TRAIN.astype(float).mean(0))
    assert all(np.array_equal(image, expected) for image in SETS["mean_image"])
    assert np.array_equal(SETS["duplicates"], np.tile(TRAIN[:6], (10, 1, 1, 1)))
    many = floor_images(np.arange(2000, dtype=np.uint16).view(np.uint8).reshape(2000, 2, 1, 1),
                        np.zeros((1500, 2, 1, 1), np.uint8))  # fmt: skip
    assert len(np.unique(many["duplicates"], axis=0)) == 100
    few = floor_images(TRAIN, HELD_OUT[:2])["duplicates"]
    assert np.array_equal(few, TRAIN[[0, 0]])


def test_the_better_of_two_values_is_less_bad() -> None:
    assert badness(0.2, "lower") < badness(0.3, "lower")
    assert badness(0.9, "higher") < badness(0.2, "higher")
    assert badness(1.1, "one") == pytest.approx(badness(0.9, "one"))
    assert badness(-0.2, "zero") == badness(0.2, "zero") > badness(0.0, "zero")


def test_a_metric_that_sees_all_has_no_fault() -> None:
    values = {
        "real": 1.0,
        "blur_1": 10.0,
        "blur_2": 20.0,
        "noise": 8.0,
        "blur_noise": 15.0,
        "blur_checkerboard": 14.0,
        "dim": 9.0,
        "mean_image": 50.0,
        "duplicates": 6.0,
    }
    assert faults(values, "lower") == {}  # fmt: skip
    assert faults(values | {"blur_noise": 6.0}, "lower") == {"blur_noise": "fooled"}
    assert faults(values | {"blur_noise": 10.5}, "lower") == {"blur_noise": "blind"}
    assert faults(values | {"blur_checkerboard": 9.5}, "lower") == {"blur_checkerboard": "blind"}
    assert faults(values | {"dim": 3.9}, "lower") == {"dim": "blind"}, "within three times chance"
    assert faults(values | {"dim": 4.1}, "lower") == {}


def test_goals_of_all_kinds() -> None:
    assert faults({"real": 0.98, "blur_1": 0.4, "dim": 0.97}, "higher") == {"dim": "blind"}
    assert faults({"real": 1.0, "blur_1": 0.1, "blur_noise": 0.9}, "one") == {
        "blur_noise": "fooled"
    }
    assert faults({"real": 0.001, "dim": -0.1, "mean_image": 0.0005}, "zero") == {
        "mean_image": "blind"
    }


def test_what_cannot_be_computed_is_not_judged() -> None:
    assert faults({"real": 1.0, "blur_2": 0.0}, "lower") == {}
    assert faults({}, "lower") == {}


@given(
    st.dictionaries(st.sampled_from(FLOORS), st.floats(1e-3, 1e3)),
    st.sampled_from([0.25, 2.0, 1024.0]),
)
def test_the_unit_of_a_distance_does_not_matter(values: dict[str, float], unit: float) -> None:
    scaled = {name: value * unit for name, value in values.items()}
    assert faults(scaled, "lower") == faults(values, "lower")


def test_goals_are_of_every_kind() -> None:
    assert set(GOALS.values()) == {"lower", "higher", "one", "zero"}
