"""What the stage `reference` measures: scales, features of the reals, floors, judges' weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from sharpvae.core.errors import UserError
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.floors import GOALS, faults, floor_images
from sharpvae.scoring.panel import Features, Images, Judge, Scale, extract
from sharpvae.scoring.scores import Reals, Scored, distances, mean_power, score

ESSENTIAL = ("blur_1", "blur_2", "mean_image")  # a judge blind to one of these has no weight


@dataclass(frozen=True)
class Measured:
    """The outputs of the stage."""

    scales: dict[str, Scale]
    features: dict[str, Features]  # `<judge>/<split>`, of validation and test
    description: dict[str, Any]  # of the judges, the reals, and what each metric does not see
    floors: dict[str, dict[str, float | None]]
    warnings: list[str]


def measure(
    judges: Mapping[str, Judge], splits: Mapping[str, Images], train: Images, held_out: Images,
    learned: Mapping[str, Any], metrics: MetricsConfig, device: torch.device,
) -> Measured:  # fmt: skip
    """Measure the reals, then images of known faults with the same judges and metrics.

    Args:
        judges: by name, the first of which leads.
        splits: `validation` and `test`, uint8 (N, H, W, C).
        train: training images, without those of `held_out`.
        held_out: training images that no judge has learned from.
        learned: the description of the judge that was trained here.

    Raises:
        UserError: the test images are alike to a judge.
    """
    looked = {name: _Looks(judge, metrics.batch_size, device) for name, judge in judges.items()}
    scales, reals = _scaled(looked, splits)
    sets = floor_images(train, held_out)
    found = {
        floor: {name: scales[name](look(images)) for name, look in looked.items()}
        for floor, images in sets.items()
    }
    test = {name: reals[f"{name}/test"] for name in judges}
    equal = Reals(splits["test"], test, dict.fromkeys(judges, 1.0))
    apart = {floor: distances(set_, equal) for floor, set_ in found.items()}
    described = _weigh(apart, learned)
    real = replace(equal, weights={name: entry["weight"] for name, entry in described.items()})
    scored = {
        floor: score(images, found[floor], real, metrics, train, apart[floor])
        for floor, images in sets.items()
    }
    floors = {floor: {key: set_.values[key] for key in GOALS} for floor, set_ in scored.items()}
    seen = {key: faults(_known(floors, key), goal) for key, goal in GOALS.items()}
    return Measured(
        scales, reals, {"judges": described, "faults": seen, **_described(real, scored)}, floors,
        [f"judge {n}: no weight, {e['why']}" for n, e in described.items() if e["why"]],
    )  # fmt: skip


@dataclass(frozen=True)
class _Looks:
    """Unscaled features of images by one judge."""

    judge: Judge
    batch_size: int
    device: torch.device

    def __call__(self, images: Images) -> Features:
        return extract(self.judge, images, self.batch_size, self.device)


def _scaled(
    looked: Mapping[str, _Looks], splits: Mapping[str, Images]
) -> tuple[dict[str, Scale], dict[str, Features]]:
    """The scale of each judge, from the test split, and `<judge>/<split>` -> scaled features."""
    scales: dict[str, Scale] = {}
    reals: dict[str, Features] = {}
    for name, look in looked.items():
        raw = {split: look(splits[split]) for split in ("validation", "test")}
        try:
            scales[name] = Scale.of(raw["test"])
        except ValueError as error:
            raise UserError(
                "data.subset", f"test images that the judge '{name}' can tell apart", str(error),
                "use other images, or train the judge otherwise: judge.epochs, judge.lr",
            ) from None  # fmt: skip
        reals |= {f"{name}/{split}": scales[name](found) for split, found in raw.items()}
    return scales, reals


def _described(real: Reals, scored: Mapping[str, Scored]) -> dict[str, Any]:
    """Sharpness, exposure and spectra of the reals, and the spectra of the floors."""
    return {
        "sharpness": float(real.sharpness.mean()), **vars(real.exposure),
        "power": {
            "frequency": real.spectrum.frequency.tolist(), "test": mean_power(real.spectrum),
            **{floor: mean_power(set_.spectrum) for floor, set_ in scored.items()},
        },
        "sharpness_per_image": real.sharpness.tolist(),
    }  # fmt: skip


def _known(floors: Mapping[str, Mapping[str, float | None]], key: str) -> dict[str, float]:
    return {name: value for name, row in floors.items() if (value := row[key]) is not None}


def _weigh(
    distances: Mapping[str, Mapping[str, float]], learned: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Judge -> weight, why it is 0 (or ""), and its own distance for each floor.

    A judge that an artefact fools, or that does not see blur, on this data, has no say; nor has one
    that learned nothing. Where that would leave none, the first judge decides.
    """
    names = list(distances["real"])
    described = {}
    for name in names:
        own = {floor: row[name] for floor, row in distances.items() if name in row}
        unseen = {
            floor: sight for floor, sight in faults(own, "lower").items()
            if sight == "fooled" or floor in ESSENTIAL
        }  # fmt: skip
        why = "; ".join(
            f"it is {sight} by {floor}" if sight == "fooled" else f"it is blind to {floor}"
            for floor, sight in unseen.items()
        )
        if name == "learned" and _at_chance(learned):
            why = f"it learned nothing: {learned['accuracy']:.1%} of the {learned['task']} right"
        described[name] = {"weight": 0.0 if why else 1.0, "why": why, "floors": own}
    described.get("learned", {})["learned"] = dict(learned)
    if not any(entry["weight"] for entry in described.values()):
        described[names[0]]["weight"] = 1.0
    return described


def _at_chance(learned: Mapping[str, Any]) -> bool:
    """Whether the accuracy is within two standard errors of guessing."""
    chance = 1 / learned["classes"]
    error = (chance * (1 - chance) / max(1, learned["validated_on"])) ** 0.5
    return bool(learned["accuracy"] <= chance + 2 * error)
