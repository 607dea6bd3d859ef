"""What the stage `reference` measures: scales, features of the reals, floors, judges' weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from sharpvae.core.console import bar
from sharpvae.core.devices import describe
from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.images.feed import Feed
from sharpvae.images.packed import Split, SplitName
from sharpvae.perception.config import ClassifierConfig
from sharpvae.perception.critic import halves, learn_half
from sharpvae.scoring import judges, measures
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.floors import GOALS, Chosen, Sight, faults, floor_images
from sharpvae.scoring.panel import (
    Features,
    Images,
    Judge,
    Scale,
    extract,
    members,
    save_reals,
)
from sharpvae.scoring.resampled import GROUPS, FrechetReference, jackknife_error
from sharpvae.scoring.scores import Looked, Reals, distances, mean_power, score, training

ESSENTIAL = ("blur_1", "blur_2", "mean_image")  # a judge blind to one of these has no weight


@dataclass(frozen=True)
class Measured:
    """The outputs of the stage."""

    scales: dict[str, Scale]
    features: dict[str, Features]  # `<judge>/<split>`, of validation and test
    description: dict[str, Any]  # of the judges, the reals, and what each metric does not see
    floors: dict[str, dict[str, float | None]]
    warnings: list[str]


def build(
    directory: Path, splits: Mapping[SplitName, Split], learned: judges.LearnedJudge,
    description: dict[str, Any], metrics: MetricsConfig, device: torch.device,
    count: int | None = None,
) -> Measured:  # fmt: skip
    """Measure the reals with the panel, and write that and the learned judge to `directory`.

    Args:
        splits: `train`, `validation` and `test`.
        learned, description: as `train_judge` gives them for these splits.
        count: images of each floor; as many as `test` has unless given.

    Raises:
        UserError: as of `measure`; or weights of a judge are missing.
    """
    train = splits["train"].images
    seen, unseen = halves(len(train))
    held_out = unseen[: count or len(splits["test"].images)].numpy()
    measured = measure(
        members(metrics, train.shape[3], learned),
        {name: splits[name].images for name in ("validation", "test")},
        Chosen(train, seen.numpy()), train[held_out], description, metrics, device,
    )  # fmt: skip
    judges.save_learned(directory, learned, description)
    save_reals(directory / "reals.npz", measured.scales, measured.features)
    write_json(directory / "reference.json", measured.description)
    return measured


def train_judge(
    config: ClassifierConfig, splits: Mapping[SplitName, Split], device: torch.device
) -> tuple[judges.LearnedJudge, dict[str, Any]]:
    """Train the learned judge on its half of the training split => it, and its description.

    Raises:
        UserError: no image has an edge.
    """
    names: tuple[SplitName, ...] = ("train", "test")
    for name in names:
        if not measures.laplacian_variance(splits[name].images).any():
            raise UserError(
                "data.subset", f"{name} images with edges, which sharpness and blur are read off",
                "none: every image is of one colour", "use other images",
            )  # fmt: skip
    train, validation = (Feed(splits[name], device) for name in ("train", "validation"))
    seen, _ = halves(train.count)
    print(f"judge on {describe(train.device)}: {len(seen)} images", flush=True)
    with bar("judge", config.epochs) as progress:
        network, description = learn_half(
            judges.LearnedJudge, train, validation, seen, config, judges.PURPOSE,
            report=lambda _, loss: progress.advance(note=f"loss {loss:.4f}"),
        )  # fmt: skip
    right = f"{description['accuracy']:.1%} of the validation {description['task']} right"
    print(f"judge: {right}", flush=True)
    return network, {**description, "validated_on": validation.count}


def measure(
    panel: Mapping[str, Judge], splits: Mapping[str, Images], train: Chosen, held_out: Images,
    learned: Mapping[str, Any], metrics: MetricsConfig, device: torch.device,
) -> Measured:  # fmt: skip
    """Measure the reals, then images of known faults with the same judges and metrics.

    Args:
        panel: the judges by name, the first of which leads.
        splits: `validation`, which decides on the judges' weights, and `test`, uint8 (N, H, W, C).
        train: training images, without those of `held_out`.
        held_out: training images that no judge has learned from; they set the scale of features.
        learned: the description of the judge that was trained here.

    Raises:
        UserError: the images of `held_out` are alike to a judge.
    """

    def look(images: Images) -> dict[str, Features]:
        return {
            name: extract(judge, images, metrics.batch_size, device)
            for name, judge in panel.items()
        }

    raw = look(held_out)
    scales = {name: _scale(name, features) for name, features in raw.items()}

    def seen(images: Images) -> Looked:
        found = raw if images is held_out else look(images)
        return Looked(images, {name: scales[name](found[name]) for name in scales})

    floors = {name: seen(images) for name, images in floor_images(train, held_out).items()}
    real = {split: seen(images) for split, images in splits.items()}
    apart = {floor: distances(set_.features, real["validation"]) for floor, set_ in floors.items()}
    described = _weigh(apart, _chance(floors["real"], real["validation"]), learned)
    weights = {name: entry["weight"] for name, entry in described.items()}
    test = Reals(real["test"].images, real["test"].features, weights)
    trained = training(train, test)
    scored = {floor: score(set_, test, metrics, trained) for floor, set_ in floors.items()}
    for name, entry in described.items():
        entry["floors"] = {floor: one.judges[name] for floor, one in scored.items()}
    values = {floor: {key: one.values[key] for key in GOALS} for floor, one in scored.items()}
    features = {f"{n}/{split}": own for split, set_ in real.items() for n, own in
                set_.features.items()}  # fmt: skip
    unseen = _unseen(values, described, _chance(floors["real"], test))
    description = {"judges": described, "faults": unseen, **_described(test, floors)}
    return Measured(scales, features, description, values, [
        f"judge {name}: {'decides alone, though' if entry['weight'] else 'no weight,'} "
        f"{entry['why']}"
        for name, entry in described.items() if entry["why"]
    ])  # fmt: skip


def _unseen(
    values: Mapping[str, Mapping[str, float | None]], described: Mapping[str, Any],
    chance: Mapping[str, float],
) -> dict[str, dict[str, Sight]]:  # fmt: skip
    """Score -> floor -> what it does not see there."""
    spread = [
        chance[name] / judge["floors"]["real"]
        for name, judge in described.items() if judge["weight"] > 0 and name in chance
    ]  # fmt: skip
    own = {"fid": mean(spread) * (values["real"]["fid"] or 0.0)} if spread else {}
    return {key: faults(_known(values, key), goal, own.get(key)) for key, goal in GOALS.items()}


def _scale(name: str, features: Features) -> Scale:
    try:
        return Scale.of(features)
    except ValueError as error:
        raise UserError(
            "data.subset", f"training images that the judge '{name}' can tell apart", str(error),
            "use other images, or train the judge otherwise: judge.epochs, judge.lr",
        ) from None  # fmt: skip


def _described(real: Reals, floors: Mapping[str, Looked]) -> dict[str, Any]:
    """Sharpness, exposure and spectra of the reals, and the spectra of the floors."""
    return {
        "sharpness": float(real.laplacian.mean()), **vars(real.exposure),
        "power": {
            "frequency": real.spectrum.frequency.tolist(), "test": mean_power(real.spectrum),
            **{floor: mean_power(set_.spectrum) for floor, set_ in floors.items()},
        },
        "sharpness_per_image": real.laplacian.tolist(),
    }  # fmt: skip


def _known(floors: Mapping[str, Mapping[str, float | None]], key: str) -> dict[str, float]:
    return {name: value for name, row in floors.items() if (value := row[key]) is not None}


def _chance(floor: Looked, real: Looked) -> dict[str, float]:
    """Judge -> three standard errors of the distance between two sets of real images.

    None of a judge where a set has fewer than two images a group, or `real` is alike to it.
    """
    if min(len(floor.images), len(real.images)) < 2 * GROUPS:
        return {}
    found = {}
    for name, own in real.features.items():
        if np.ptp(own, axis=0).any():
            replicates = FrechetReference(own).replicates(floor.moments[name])
            found[name] = 3 * float(jackknife_error(replicates))
    return found


def _weigh(
    distances: Mapping[str, Mapping[str, float]], chance: Mapping[str, float],
    learned: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:  # fmt: skip
    """Judge -> its weight, and why it is 0 (or ""), from its distances of each floor.

    A judge that an artefact fools, or that does not see blur, on this data, has no say; nor has one
    that learned nothing. Where that would leave none, the first judge decides.
    """
    names = list(distances["real"])
    described: dict[str, dict[str, Any]] = {}
    for name in names:
        own = {floor: row[name] for floor, row in distances.items() if name in row}
        unseen = {
            floor: sight for floor, sight in faults(own, "lower", chance.get(name)).items()
            if sight == "fooled" or floor in ESSENTIAL
        }  # fmt: skip
        why = "; ".join(
            f"it is {sight} by {floor}" if sight == "fooled" else f"it is blind to {floor}"
            for floor, sight in unseen.items()
        )
        if name == "learned" and _at_chance(learned):
            why = f"it learned nothing: {learned['accuracy']:.1%} of the {learned['task']} right"
        described[name] = {"weight": 0.0 if why else 1.0, "why": why}
    described.get("learned", {})["learned"] = dict(learned)
    if not any(entry["weight"] for entry in described.values()):
        described[names[0]]["weight"] = 1.0
    return described


def _at_chance(learned: Mapping[str, Any]) -> bool:
    """Whether the accuracy is within two standard errors of guessing."""
    chance = 1 / learned["classes"]
    error = (chance * (1 - chance) / max(1, learned["validated_on"])) ** 0.5
    return bool(learned["accuracy"] <= chance + 2 * error)
