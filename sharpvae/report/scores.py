"""The scores: what each measures, which way is better, their values over the seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from scipy.special import stdtrit

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json

Goal = Literal["lower", "higher", "one", "zero", "none"]

GOAL_TEXT: dict[Goal, str] = {
    "lower": "lower \N{DOWNWARDS ARROW}",
    "higher": "higher \N{UPWARDS ARROW}",
    "one": "\N{RIGHTWARDS ARROW} 1",
    "zero": "\N{RIGHTWARDS ARROW} 0",
    "none": "",
}
PRIOR = "Samples from the prior"
MIXTURE = "Samples from the mixture fitted to the codes"
RECONSTRUCTION = "Reconstructions of test images"
LATENT = "Latent space and objective"


class Metric(NamedTuple):
    """One row of the table of scores."""

    key: str  # in scores.json
    label: str  # with the unit
    group: str  # its heading
    goal: Goal  # which value is better; "none" where no value is
    meaning: str
    signed: bool = False  # whether a plus sign is shown
    places: int = 0  # the least number of digits after the point


def _exposure(key: str, label: str, statistic: str) -> tuple[Metric, Metric]:
    meaning = f"{statistic} of each image, averaged over the images; pixels in [0, 1]."
    gap = f"{label} of the samples minus that of the real test images."
    return (
        Metric(key, label, PRIOR, "none", meaning),
        Metric(f"{key}_gap", f"{label} gap", PRIOR, "zero", gap, signed=True),
    )


METRICS: tuple[Metric, ...] = (
    Metric("fid", "FID", PRIOR, "lower",
        "Fréchet distance between Gaussians fitted to the features of samples and of real test "
        "images. Biased by the number of images: compare only values made with the same counts."),
    Metric("kid", "KID", PRIOR, "lower",
        "Squared maximum mean discrepancy of the same features with a cubic kernel, averaged over "
        "random subsets. Unbiased, so it can fall slightly below 0.", places=4),
    Metric("sharpness", "Sharpness ratio", PRIOR, "one",
        "Variance of the 3 by 3 Laplacian of each grey image, averaged, divided by the same "
        "average over the real test images. Below 1 is blur; above 1 is noise or checkerboards."),
    Metric("class_agreement", "Right class", PRIOR, "higher",
        "Share of a conditional variant's samples in which the judge sees the class that was asked "
        "for. The judge errs on real images too."),
    *_exposure("brightness", "Brightness", "Mean"),
    *_exposure("contrast", "Contrast", "Standard deviation"),
    *_exposure("minimum", "Darkest pixel", "Minimum"),
    *_exposure("maximum", "Brightest pixel", "Maximum"),
    Metric("fid_mixture", "FID", MIXTURE, "lower",
        "As above, for samples whose codes come from a Gaussian mixture fitted, after training, to "
        "the codes of the training images. What it gains on the prior's FID, the prior loses."),
    Metric("kid_mixture", "KID", MIXTURE, "lower", "As above, for the mixture.", places=4),
    Metric("sharpness_mixture", "Sharpness ratio", MIXTURE, "one", "As above, for the mixture."),
    Metric("fid_reconstruction", "FID", RECONSTRUCTION, "lower",
        "As above, for reconstructions. The distance from here to the FID of the samples is what "
        "the prior costs; the rest is the decoder's."),
    Metric("kid_reconstruction", "KID", RECONSTRUCTION, "lower",
        "As above, for reconstructions.", places=4),
    Metric("sharpness_reconstruction", "Sharpness ratio", RECONSTRUCTION, "one",
        "As above, for reconstructions."),
    Metric("psnr", "PSNR, dB", RECONSTRUCTION, "higher",
        "Peak signal-to-noise ratio of each reconstruction against its test image, averaged."),
    Metric("ssim", "SSIM", RECONSTRUCTION, "higher",
        "Structural similarity of each reconstruction to its test image, averaged; 1 is "
        "identical."),
    Metric("active_units", "Active units", LATENT, "none",
        "Latent dimensions whose posterior mean varies over the test images by more than the "
        "threshold. Near 0 the decoder ignores the code: posterior collapse."),
    Metric("kl", "KL, nats", LATENT, "none",
        "Kullback-Leibler divergence from posterior to prior, summed over latent dimensions, "
        "averaged over test images."),
    Metric("beta_sigma", "beta_sigma", LATENT, "none",
        "Weight of the KL summed over latent dimensions against the squared error summed over "
        "pixels: what the objective amounts to, whatever its own scaling."),
)  # fmt: skip
BY_KEY = {metric.key: metric for metric in METRICS}

# What goes to reports/metrics.json, where `dvc metrics diff` compares it.
HEADLINE = (
    "fid", "fid_mixture", "fid_reconstruction", "kid", "sharpness", "sharpness_mixture",
    "brightness_gap", "contrast_gap", "psnr", "active_units", "class_agreement", "beta_sigma",
)  # fmt: skip
# Scores of conditional variants; they are left out where no variant is one.
CONDITIONAL = ("class_agreement",)
OPTIONAL = ("beta_sigma", *CONDITIONAL)  # null in scores.json where a variant has none
# Scores that a collapsed model can win by accident: they measure local texture alone.
MEANINGLESS_WHEN_COLLAPSED = ("sharpness", "sharpness_mixture", "sharpness_reconstruction")

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
        found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(str(path), "the file that its stage writes", found, AGAIN) from None


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
        wrong = f"missing or null: {', '.join(missing) or 'none'}"
        wrong += f"; unknown: {', '.join(unknown) or 'none'}"
        raise UserError(str(path), f"the scores {', '.join(BY_KEY)}", wrong, AGAIN)
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


class Comparison(NamedTuple):
    """All variants' scores over the seeds, in the order of the configuration."""

    seeds: tuple[int, ...]
    estimates: Mapping[str, Mapping[str, Estimate | None]]  # None where a score does not apply
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
        """The seeds whose model has no active unit, or fewer than 1 in 100 dimensions active."""
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
    """What reports/metrics.json holds: means, and as `<name>_ci` half-widths of intervals."""
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
