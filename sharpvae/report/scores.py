"""The scores of every run, and what they amount to over the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import stdtrit

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json
from sharpvae.report.metrics import BY_KEY, CONDITIONAL, HEADLINE, OPTIONAL, Goal

Finite = Annotated[float, Field(allow_inf_nan=False)]

CONFIDENCE = 0.95


class Artefact(BaseModel):
    """A JSON file of an earlier stage; keys that the report does not use are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Protocol(Artefact):
    """How a set of scores was made."""

    fakes: int
    reals: int
    split: str
    features: str
    feature_dim: int
    kid_subsets: int
    kid_subset_size: int
    libraries: dict[str, str]

    @property
    def rank_deficient(self) -> bool:
        """Whether the covariance of either set of features cannot have full rank."""
        return min(self.fakes, self.reals) <= self.feature_dim


class Scores(Artefact):
    """reports/scores/<variant>/<seed>/scores.json"""

    variant: str
    seed: int
    scores: dict[str, Finite | None]
    kl_per_dimension: list[Finite]
    protocol: Protocol


class Classifier(Artefact):
    """How well the judge or the critic does its own task.

    Attributes:
        accuracy: on the validation split.
        images: those it was trained on.
    """

    task: Literal["labels", "rotations"]
    accuracy: Finite
    images: int


class Floor(Artefact):
    """What images that no model made score."""

    fid: Finite
    kid: Finite
    sharpness: Finite


class BlurFloor(Floor):
    """Real images after a Gaussian blur of `sigma` pixels."""

    sigma: Finite


class Floors(Artefact):
    """The reference points of the table of scores."""

    train_half: Floor
    blurred: BlurFloor
    mean_image: Floor


class Reference(Artefact):
    """models/reference/reference.json"""

    sharpness: Finite
    brightness: Finite
    contrast: Finite
    minimum: Finite
    maximum: Finite
    floors: Floors
    judge: Classifier | None
    protocol: Protocol


File = TypeVar("File", bound=Artefact)


def load_artefact(path: Path, kind: type[File]) -> File:
    """Read a JSON artefact.

    Raises:
        UserError: the file is missing, is not JSON, or lacks what the report needs.
    """
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            str(path),
            "the file that its stage writes",
            f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            "run the whole pipeline with: dvc repro",
        ) from None


def load_scores(path: Path) -> Scores:
    """Read one scores.json and check that it has the scores that the report shows, and no other.

    Raises:
        UserError: see `load_artefact`; or a score is missing, null or unknown.
    """
    found = load_artefact(path, Scores)
    missing = [
        key
        for key in BY_KEY
        if key not in found.scores or (found.scores[key] is None and key not in OPTIONAL)
    ]
    unknown = [key for key in found.scores if key not in BY_KEY]
    if missing or unknown:
        raise UserError(
            str(path),
            f"the scores {', '.join(BY_KEY)}",
            f"missing or null: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}",
            "run the whole pipeline with: dvc repro",
        )
    return found


@dataclass(frozen=True)
class Estimate:
    """One score of one variant over its seeds.

    Attributes:
        values: one for each seed.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The arithmetic mean over the seeds."""
        return math.fsum(self.values) / len(self.values)

    @cached_property
    def half_width(self) -> float | None:
        """Half the width of Student's 95 % interval of the mean; None for a single seed."""
        count = len(self.values)
        if count < 2:
            return None
        squares = math.fsum((value - self.mean) ** 2 for value in self.values)
        quantile = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2))
        return quantile * math.sqrt(squares / (count - 1) / count)

    @property
    def interval(self) -> tuple[float, float]:
        """Both ends of the interval; the mean twice for a single seed."""
        half = self.half_width or 0.0
        return self.mean - half, self.mean + half


def distance(value: float, goal: Goal) -> float:
    """How far `value` is from the goal; of two values, the better has the lower distance."""
    if goal == "higher":
        return -value
    return abs(value - {"one": 1.0, "zero": 0.0}[goal]) if goal in ("one", "zero") else value


def distance_range(estimate: Estimate, goal: Goal) -> tuple[float, float]:
    """The least and the greatest distance from the goal within the interval of `estimate`."""
    low, high = estimate.interval
    ends = sorted((distance(low, goal), distance(high, goal)))
    target = {"one": 1.0, "zero": 0.0}.get(goal)
    inside = target is not None and low <= target <= high
    return (0.0 if inside else ends[0]), ends[1]


def separate(better: Estimate, worse: Estimate, goal: Goal) -> bool:
    """Whether all of `better`'s interval is nearer the goal than any of `worse`'s.

    Never true where either has a single seed, since then there is no interval.
    """
    if better.half_width is None or worse.half_width is None:
        return False
    return distance_range(better, goal)[1] < distance_range(worse, goal)[0]


@dataclass(frozen=True)
class Comparison:
    """All variants' scores over the seeds; the first variant is the baseline.

    Attributes:
        seeds: those of every variant.
        estimates: variant -> score -> estimate; None where the score does not apply.
        latent_dims: variant -> number of latent dimensions.
    """

    seeds: tuple[int, ...]
    estimates: Mapping[str, Mapping[str, Estimate | None]]
    latent_dims: Mapping[str, int]

    @property
    def variants(self) -> list[str]:
        """In the order of the configuration."""
        return list(self.estimates)

    @property
    def baseline(self) -> str:
        """The variant that the others are compared with."""
        return self.variants[0]

    def estimate(self, variant: str, key: str) -> Estimate:
        """A score that every run has."""
        found = self.estimates[variant][key]
        if found is None:
            raise KeyError(f"{variant} has no {key}")
        return found

    def has(self, key: str) -> bool:
        """Whether a score is shown: all are, but those of conditional variants where none is."""
        return key not in CONDITIONAL or any(row[key] for row in self.estimates.values())

    def collapsed(self, variant: str) -> list[int]:
        """The seeds whose model ignores its latent code.

        Fewer than one active unit, or fewer than 1 in 100 of the latent dimensions.
        """
        least = max(1.0, self.latent_dims[variant] / 100)
        units = self.estimate(variant, "active_units").values
        return [seed for seed, active in zip(self.seeds, units, strict=True) if active < least]


def compare(
    runs: Mapping[str, Sequence[Scores]], seeds: Sequence[int], latent_dims: Mapping[str, int]
) -> Comparison:
    """Gather the scores of every variant over its runs, one run a seed in the order of `seeds`."""
    estimates: dict[str, dict[str, Estimate | None]] = {}
    for variant, scores in runs.items():
        columns = {key: [run.scores[key] for run in scores] for key in BY_KEY}
        estimates[variant] = {
            key: Estimate(tuple(value for value in values if value is not None))
            if all(value is not None for value in values)
            else None
            for key, values in columns.items()
        }
    return Comparison(tuple(seeds), estimates, latent_dims)


def headline_metrics(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    """What reports/metrics.json holds.

    With several seeds each score is the mean, and `<name>_ci` the half-width of its 95 % interval.
    """
    table: dict[str, dict[str, float | None]] = {}
    for variant in comparison.variants:
        row = table.setdefault(variant, {})
        for key in filter(comparison.has, HEADLINE):
            estimate = comparison.estimates[variant][key]
            row[key] = None if estimate is None else _significant(estimate.mean)
            if len(comparison.seeds) > 1:
                half = None if estimate is None else estimate.half_width
                row[f"{key}_ci"] = None if half is None else _significant(half)
    return table


def _significant(value: float) -> float:
    """Six significant digits: enough for any reader, few enough for a diff to read well."""
    return float(f"{value:.6g}") + 0.0  # the sum turns -0.0 into 0.0
