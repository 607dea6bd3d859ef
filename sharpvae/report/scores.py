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
AGAIN = "run the whole pipeline with: dvc repro"
_TARGETS = {"one": 1.0, "zero": 0.0}


class Artefact(BaseModel):
    """A JSON file of an earlier stage; keys that the report does not use are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Protocol(Artefact):
    """How scores were made."""

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
    """The judge or the critic: its accuracy in validation, and how many images it learned from."""

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
            AGAIN,
        ) from None


def load_scores(path: Path) -> Scores:
    """Read one scores.json, which must hold the scores that the report shows and no other.

    Raises:
        UserError: see `load_artefact`; or a score is missing, null or unknown.
    """
    found = load_artefact(path, Scores)
    given = {key for key, value in found.scores.items() if value is not None or key in OPTIONAL}
    missing = [key for key in BY_KEY if key not in given]
    unknown = [key for key in found.scores if key not in BY_KEY]
    if missing or unknown:
        raise UserError(
            str(path),
            f"the scores {', '.join(BY_KEY)}",
            f"missing or null: {', '.join(missing) or 'none'}; "
            f"unknown: {', '.join(unknown) or 'none'}",
            AGAIN,
        )
    return found


@dataclass(frozen=True)
class Estimate:
    """One score of one variant: a value for each seed."""

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
    if goal in _TARGETS:
        return abs(value - _TARGETS[goal])
    return -value if goal == "higher" else value


def distance_range(estimate: Estimate, goal: Goal) -> tuple[float, float]:
    """The least and the greatest distance from the goal within the interval of `estimate`."""
    low, high = estimate.interval
    ends = sorted((distance(low, goal), distance(high, goal)))
    inside = goal in _TARGETS and low <= _TARGETS[goal] <= high
    return (0.0 if inside else ends[0]), ends[1]


def separate(better: Estimate, worse: Estimate, goal: Goal) -> bool:
    """Whether all of `better`'s interval is nearer the goal; never with a single seed."""
    if better.half_width is None or worse.half_width is None:
        return False
    return distance_range(better, goal)[1] < distance_range(worse, goal)[0]


@dataclass(frozen=True)
class Comparison:
    """All variants' scores over the seeds, in the order of the configuration.

    Attributes:
        estimates: variant -> score -> estimate; None where the score does not apply.
        latent_dims: variant -> number of latent dimensions.
    """

    seeds: tuple[int, ...]
    estimates: Mapping[str, Mapping[str, Estimate | None]]
    latent_dims: Mapping[str, int]

    @property
    def variants(self) -> list[str]:
        """Their names; the first is the baseline."""
        return list(self.estimates)

    def estimate(self, variant: str, key: str) -> Estimate:
        """A score that every run has."""
        found = self.estimates[variant][key]
        if found is None:
            raise KeyError(f"{variant} has no {key}")
        return found

    def has(self, key: str) -> bool:
        """Whether a score is shown: those of conditional variants only where there are any."""
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
    """Gather the scores of every variant over its runs, one per seed in the order of `seeds`."""

    def estimate(key: str, scores: Sequence[Scores]) -> Estimate | None:
        known = tuple(value for run in scores if (value := run.scores[key]) is not None)
        return Estimate(known) if len(known) == len(scores) else None

    estimates = {
        variant: {key: estimate(key, scores) for key in BY_KEY} for variant, scores in runs.items()
    }
    return Comparison(tuple(seeds), estimates, latent_dims)


def headline_metrics(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    """What reports/metrics.json holds.

    With several seeds each score is the mean, and `<name>_ci` the half-width of its 95 % interval.
    """
    table: dict[str, dict[str, float | None]] = {name: {} for name in comparison.variants}
    for variant, row in table.items():
        for key in filter(comparison.has, HEADLINE):
            estimate = comparison.estimates[variant][key]
            row[key] = _significant(estimate.mean if estimate else None)
            if len(comparison.seeds) > 1:
                row[f"{key}_ci"] = _significant(estimate.half_width if estimate else None)
    return table


def _significant(value: float | None) -> float | None:
    """Six significant digits, for readable diffs."""
    return None if value is None else float(f"{value:.6g}") + 0.0  # -0.0 + 0.0 is 0.0
