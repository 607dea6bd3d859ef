"""All scores of a set at once: order, absence with a reason, and images that do not fit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from sharpvae.scoring.floors import GOALS, floor_images
from sharpvae.scoring.judges import PixelJudge, RandomJudge
from sharpvae.scoring.panel import Images, Scale, combined, extract
from sharpvae.scoring.scores import (
    MEMORISATION_SIZE,
    Looked,
    Reals,
    Scored,
    mean_power,
    pixels,
    protocol,
    score,
    subset_size,
    training,
)
from tests.scoring.pictures import METRICS, discs

CPU = torch.device("cpu")
JUDGES = {"random": RandomJudge(1), "pixels": PixelJudge()}
TRAIN, REAL, OTHER = discs(200, 0), discs(150, 1), discs(150, 2)
RAW = {name: extract(judge, REAL, 64, CPU) for name, judge in JUDGES.items()}
SCALES = {name: Scale.of(raw) for name, raw in RAW.items()}


def looked(images: Images) -> Looked:
    found = {name: extract(judge, images, 64, CPU) for name, judge in JUDGES.items()}
    return Looked(images, {name: SCALES[name](raw) for name, raw in found.items()})


def reals(**changes: float) -> Reals:
    weights = {"random": 1.0, "pixels": 1.0} | changes
    return Reals(REAL, {name: SCALES[name](raw) for name, raw in RAW.items()}, weights)


def scored(images: Images, train: Images | None = TRAIN, real: Reals | None = None) -> Scored:
    real = real or reals()
    trained = None if train is None else training(train, real)
    return score(looked(images), real, METRICS, trained)


@pytest.fixture(scope="module")
def floors() -> dict[str, Scored]:
    real = reals()
    return {n: scored(images, real=real) for n, images in floor_images(TRAIN, OTHER).items()}


def test_floors_come_in_order(floors: dict[str, Scored]) -> None:
    fids = {name: found.values["fid"] for name, found in floors.items()}
    assert all(value is not None for value in fids.values())
    ordered = sorted(fids, key=lambda name: fids[name] or 0.0)
    assert ordered[0] == "real"
    assert ordered.index("blur_1") < ordered.index("blur_2")
    assert ordered.index("real") < ordered.index("noise") < ordered.index("blur_2")
    assert fids["real"] < 0.1 * fids["blur_1"]  # type: ignore[operator]


def test_nothing_is_nan_and_every_goal_has_a_value(floors: dict[str, Scored]) -> None:
    for name, found in floors.items():
        assert set(GOALS) <= set(found.values)
        for key, value in found.values.items():
            assert value is None or math.isfinite(value), (name, key)
            assert (value is None) == (key in found.reasons), (name, key)


def test_other_reals_score_as_reals_do(floors: dict[str, Scored]) -> None:
    values = floors["real"].values
    for key in ("sharpness", "sharpness_normalised", "gradient_sharpness", "nn_ratio"):
        assert values[key] == pytest.approx(1, abs=0.15), key
    assert values["kid"] == pytest.approx(0, abs=0.1)
    for key in ("coverage", "precision", "recall"):
        assert values[key] is not None and values[key] > 0.85, key
    assert values["blur_px"] == pytest.approx(0, abs=0.2)


def test_copies_are_seen(floors: dict[str, Scored]) -> None:
    found = floors["duplicates"]
    assert found.values["copied"] == 1 and found.values["nn_ratio"] == 0
    assert found.suspects and all(image == index % 15 for index, image in found.suspects)
    assert floors["real"].values["copied"] < 0.1  # type: ignore[operator]


def test_copies_are_looked_for_where_a_training_split_is_given() -> None:
    assert "copied" not in scored(OTHER, None).values


def test_the_panel_is_the_weighted_judges() -> None:
    found = scored(OTHER, None)
    assert found.values["fid"] == pytest.approx(combined(found.judges, {"random": 1, "pixels": 1}))
    alone = scored(OTHER, None, reals(random=0.0))
    assert alone.values["fid"] == pytest.approx(alone.judges["pixels"])
    assert alone.judges == found.judges


def test_neighbours_are_looked_for_by_the_judge_that_knows_the_images() -> None:
    one = {"imagenet": np.zeros((1, 1)), "learned": np.zeros((1, 1))}
    assert Reals(REAL, one, {"imagenet": 1.0, "learned": 1.0}).expert == "learned"
    assert Reals(REAL, one, {"imagenet": 1.0, "learned": 0.0}).expert == "imagenet"
    assert reals().expert == reals().lead == "random", "else by the first"


def test_a_judge_without_a_say_does_not_lead() -> None:
    assert reals(random=0.0).lead == reals(random=0.0).expert == "pixels"
    assert reals(random=0.0, pixels=0.0).lead == "random"
    alone, both = scored(OTHER, None, reals(random=0.0)), scored(OTHER, None)
    assert alone.values["kid"] != both.values["kid"]


def test_two_images_are_scored_as_far_as_they_can_be() -> None:
    found = scored(OTHER[:2])
    for key in ("precision", "coverage", "blur_px", "artefact", "nn_ratio"):
        assert found.values[key] is None
    assert "2 images; 10 are needed" in found.reasons["coverage"]
    assert "10 are needed" in found.reasons["blur_px"]
    assert "too few images" in found.reasons["nn_ratio"]
    assert found.values["fid"] is not None and found.values["sharpness"] is not None
    one = scored(OTHER[:1])
    assert one.values["fid"] is None and "2 are needed" in one.reasons["fid"]


def test_constant_images_have_no_contrast_to_measure() -> None:
    found = scored(np.full_like(OTHER, 128))
    assert found.values["sharpness"] == 0 and found.values["contrast"] == 0
    for key in ("blur_px", "artefact", "sharpness_normalised"):
        assert found.values[key] is None and "constant" in found.reasons[key]
    assert found.values["fid"] is not None and found.values["coverage"] == 0
    assert mean_power(looked(np.full_like(OTHER, 128)).spectrum) is None


def test_features_that_are_not_numbers_are_a_reason_not_a_score() -> None:
    bad = looked(OTHER)
    bad.features["random"][3, 3] = np.nan
    found = score(bad, reals(), METRICS)
    for key in ("fid", "kid", "coverage"):
        assert found.values[key] is None and "not finite" in found.reasons[key]


@pytest.mark.parametrize("images", [discs(9, 0, channels=3), discs(9, 0, size=16)])
def test_images_of_another_kind_are_refused(images: Images) -> None:
    with pytest.raises(ValueError, match="cannot be scored against real ones"):
        score(Looked(images, looked(OTHER[:9]).features), reals(), METRICS)


def test_a_subset_is_half_of_the_smaller_set() -> None:
    assert subset_size(None, 100, 61) == 30
    assert subset_size(None, 3, 500) == 2
    assert subset_size(None, 9000, 9000) == 1000
    assert subset_size(77, 10, 10) == 77


def test_a_subset_that_was_asked_for_and_is_too_large_is_a_reason() -> None:
    metrics = METRICS.model_copy(update={"kid_subset_size": 500})
    found = score(looked(OTHER), reals(), metrics)
    assert found.values["kid"] is None and "500 are needed" in found.reasons["kid"]


def test_large_images_are_brought_to_means_over_blocks() -> None:
    image = np.arange(2 * 64 * 70 * 3, dtype=np.uint32).astype(np.uint8).reshape(2, 64, 70, 3)
    found = pixels(image)
    assert found.shape == (2, MEMORISATION_SIZE * 35 * 3)
    assert found[0, :3] == pytest.approx(image[0, :2, :2].mean((0, 1)) / 255)
    small = discs(3, 0)
    assert pixels(small) == pytest.approx(small.reshape(3, -1) / 255)


def test_the_protocol_counts_what_is_compared() -> None:
    found = protocol(METRICS, looked(OTHER[:40]), reals())
    assert (found["fakes"], found["reals"], found["split"]) == (40, 150, "test")
    assert found["judges"] == {"random": 224, "pixels": 64}
    assert found["kid_subset_size"] == 20, "what it was, where none was asked for"
    assert set(found["libraries"]) == {"torch", "torch-fidelity", "numpy", "scipy"}
