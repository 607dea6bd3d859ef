"""Who of the panel has a say, and what the reals are measured for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.images import packed
from sharpvae.images.packed import Split, SplitName
from sharpvae.perception.config import ClassifierConfig
from sharpvae.scoring import reference
from sharpvae.scoring.floors import FLOORS, GOALS
from sharpvae.scoring.judges import PixelJudge, RandomJudge
from sharpvae.scoring.panel import combined, extract
from sharpvae.scoring.reference import _weigh, measure
from tests.scoring.pictures import METRICS, discs

CPU = torch.device("cpu")
LEARNED = {"task": "labels", "classes": 10, "accuracy": 0.9, "validated_on": 400}
GOOD = {"real": 1.0, "blur_1": 10.0, "blur_2": 20.0, "noise": 8.0, "blur_noise": 15.0,
        "blur_checkerboard": 14.0, "dim": 9.0, "mean_image": 50.0, "duplicates": 6.0}  # fmt: skip


def weighed(description: dict[str, Any] = LEARNED, /, **judges: dict[str, float]) -> dict[str, Any]:
    """judge -> its distances by floor => what `_weigh` says of each."""
    return _weigh(
        {floor: {n: own[floor] for n, own in judges.items()} for floor in GOOD}, {}, description
    )


def test_a_judge_that_sees_all_has_a_say() -> None:
    found = weighed(imagenet=GOOD, learned=GOOD)
    assert [entry["weight"] for entry in found.values()] == [1, 1]
    assert found["imagenet"]["why"] == ""
    assert found["learned"]["learned"] == LEARNED and "learned" not in found["imagenet"]


def test_a_judge_that_an_artefact_fools_has_none() -> None:
    found = weighed(imagenet=GOOD, random=GOOD | {"blur_noise": 3.5})
    assert found["imagenet"]["weight"] == 1 and found["random"]["weight"] == 0
    assert found["random"]["why"] == "it is fooled by blur_noise"


def test_a_judge_may_be_blind_to_noise_but_not_to_blur() -> None:
    blind = GOOD | {"noise": 1.5, "duplicates": 1.0}
    assert weighed(imagenet=GOOD, random=blind)["random"]["weight"] == 1
    for floor, value in (("blur_1", 2.0), ("blur_2", 10.5), ("mean_image", 3.0)):
        found = weighed(imagenet=GOOD, random=GOOD | {floor: value})["random"]
        assert found["weight"] == 0 and f"blind to {floor}" in found["why"], floor


def test_the_bias_of_few_images_is_no_chance() -> None:
    """Distances of few images are all too high: three times the reals' own says nothing."""
    few = {floor: value + 40 for floor, value in GOOD.items()}
    told = [
        _weigh({floor: {"a": few[floor]} for floor in few}, chance, LEARNED)["a"]["why"]
        for chance in ({}, {"a": 3.0}, {"a": 12.0})
    ]
    assert "blind to blur_2" in told[0] and "blind to blur_1" in told[0]
    assert told[1] == "" and "blind to blur_1" in told[2]


@pytest.mark.parametrize(("accuracy", "weight"), [(0.10, 0), (0.12, 0), (0.14, 1)])
def test_a_judge_at_chance_learned_nothing(accuracy: float, weight: float) -> None:
    """Two standard errors of 400 guesses among ten are 0.03."""
    found = weighed(LEARNED | {"accuracy": accuracy}, imagenet=GOOD, learned=GOOD)["learned"]
    assert found["weight"] == weight
    assert ("learned nothing" in found["why"]) == (not weight)


def test_where_none_is_left_the_first_decides() -> None:
    fooled = GOOD | {"blur_checkerboard": 2.0}
    found = weighed(imagenet=fooled, random=fooled, pixels=fooled)
    assert [entry["weight"] for entry in found.values()] == [1, 0, 0]
    assert "fooled" in found["imagenet"]["why"], "and it is said"


class Brightness(torch.nn.Module):
    """Means of the quarters: blind to blur."""

    def features(self, images: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.adaptive_avg_pool2d(images.float(), 2).flatten(1)


JUDGES = {"pixels": PixelJudge(), "random": RandomJudge(1), "brightness": Brightness()}
SPLITS = {"validation": discs(60, 3), "test": discs(120, 4)}


@pytest.fixture(scope="module")
def measured() -> Any:
    train, held_out = discs(150, 0), discs(120, 1)
    return measure(JUDGES, SPLITS, train, held_out, LEARNED, METRICS, CPU)


def test_judges_that_miss_a_fault_are_warned_of(measured: Any) -> None:
    judges = measured.description["judges"]
    assert "blind to blur_1" in judges["brightness"]["why"]
    assert "fooled by blur_noise" in judges["random"]["why"]
    for name in ("brightness", "random"):
        assert judges[name]["weight"] == 0
        assert any(line.startswith(f"judge {name}: no weight, it is") for line in measured.warnings)


def test_the_panels_floor_is_that_of_the_judges_with_a_say(measured: Any) -> None:
    judges = measured.description["judges"]
    weights = {name: judge["weight"] for name, judge in judges.items()}
    assert tuple(measured.floors) == FLOORS
    for floor, row in measured.floors.items():
        own = {name: judge["floors"][floor] for name, judge in judges.items()}
        assert row["fid"] == pytest.approx(combined(own, weights))
        assert set(row) == set(GOALS)
        assert all(value is None or math.isfinite(value) for value in row.values())
    assert measured.floors["duplicates"]["copied"] == 1


def test_no_test_image_decides_on_scales_or_weights(measured: Any) -> None:
    train, held_out = discs(150, 0), discs(120, 1)
    other = measure(JUDGES, SPLITS | {"test": discs(80, 9)}, train, held_out, LEARNED, METRICS, CPU)
    for name, judge in JUDGES.items():
        assert (other.scales[name].mean == measured.scales[name].mean).all()
        own = measured.scales[name](extract(judge, held_out, 64, CPU))
        assert own.mean(0) == pytest.approx(0, abs=1e-5)
        assert set(measured.features) == {f"{n}/{s}" for n in JUDGES for s in SPLITS}
    for name, entry in measured.description["judges"].items():
        again = other.description["judges"][name]
        assert (again["weight"], again["why"]) == (entry["weight"], entry["why"])
        assert again["floors"] != entry["floors"], "which are told of the test split"


def test_what_is_said_of_the_reals(measured: Any) -> None:
    said = measured.description
    assert set(said["faults"]) == set(GOALS)
    assert "blur_1" in said["faults"]["nn_ratio"]
    assert len(said["sharpness_per_image"]) == 120
    assert said["sharpness"] == pytest.approx(np.mean(said["sharpness_per_image"]))
    rings = len(said["power"]["frequency"])
    assert set(said["power"]) == {"frequency", "test", *FLOORS}
    assert all(len(power) == rings for power in said["power"].values() if power is not None)


def test_images_that_are_all_alike_are_an_error_in_words() -> None:
    alike = np.repeat(discs(1, 1), 9, axis=0)
    with pytest.raises(UserError, match="judge 'pixels' can tell apart"):
        measure({"pixels": PixelJudge()}, SPLITS, discs(9, 0), alike, LEARNED, METRICS, CPU)


def test_test_images_that_are_all_alike_are_no_traceback() -> None:
    alike = SPLITS | {"test": np.repeat(discs(1, 1), 30, axis=0)}
    found = measure(JUDGES, alike, discs(150, 0), discs(30, 1), LEARNED, METRICS, CPU)
    assert found.floors["real"]["coverage"] is None and found.floors["real"]["fid"] is not None


def test_a_judge_that_decides_alone_is_not_said_to_have_no_weight() -> None:
    blind = {"brightness": Brightness()}
    found = measure(blind, SPLITS, discs(150, 0), discs(120, 1), LEARNED, METRICS, CPU)
    (warning,) = found.warnings
    assert warning.startswith("judge brightness: decides alone, though it is blind to blur_1")


@pytest.mark.parametrize("flat", ["train", "test"])
def test_images_without_an_edge_are_refused_before_the_judge_is_trained(
    monkeypatch: pytest.MonkeyPatch, flat: SplitName
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (30, 16, 16, 1), dtype=np.uint8)
    splits = {name: Split(images, None) for name in packed.SPLITS}
    colours = np.arange(30, dtype=np.uint8)[:, None, None, None]
    splits[flat] = Split(np.broadcast_to(colours, images.shape).copy(), None)
    monkeypatch.setattr(reference, "learn_half", lambda *_, **__: pytest.fail("trained"))
    judge = ClassifierConfig(widths=[4], epochs=1, lr=1e-3, batch_size=8, seed=0)
    with pytest.raises(UserError, match=f"{flat} images with edges"):
        reference.train_judge(judge, splits, CPU)
