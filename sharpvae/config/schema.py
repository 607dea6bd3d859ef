"""The typed schema of params.yaml: every section, every key, its type and its range.

No key has a hidden default: what a run uses stands in params.yaml, in a preset, in the shared
section or in the variant. `None` (YAML `null`) is allowed only where the type says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sharpvae.config.loss_schema import LossConfig
from sharpvae.config.section import (
    Count,
    Fraction,
    NonNegative,
    Positive,
    Section,
    Widths,
)

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")


class DataConfig(Section):
    """Which images, at what size, split how. The split depends on `seed` alone."""

    name: str
    path: str | None
    mirror: str | None
    image_size: Annotated[int, Field(ge=16, le=1024)]
    fit: Literal["pad", "crop", "stretch"]
    subset: int | float | None
    classes: Annotated[list[str], Field(min_length=1)] | None
    validation_fraction: Fraction
    test_fraction: Fraction
    strict: bool
    seed: Annotated[int, Field(ge=0)]

    @field_validator("subset")
    @classmethod
    def _count_or_fraction(cls, value: int | float | None) -> int | float | None:
        if value is None or (isinstance(value, int) and value >= 1) or 0 < value <= 1:
            return value
        raise ValueError("a count of at least 1, a fraction in (0, 1], or null for all")

    @model_validator(mode="after")
    def _something_left_to_train_on(self) -> DataConfig:
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction below 1")
        return self


class ClassifierConfig(Section):
    """Training of a small classifier on real images: the judge or the critic."""

    widths: Widths
    epochs: Count
    lr: Positive
    batch_size: Count
    seed: Annotated[int, Field(ge=0)]


class ModelConfig(Section):
    """Encoder and decoder. Channel counts are `widths` times `width_scale`, rounded."""

    family: Literal["conv", "mlp"]
    latent_dim: Count
    widths: Widths
    width_scale: Positive
    kernel: Literal[3, 4]
    activation: Literal["leaky_relu", "relu", "silu"]
    negative_slope: NonNegative
    norm: Literal["batch", "group", "none"]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    blocks: Literal["plain", "residual"]
    ends: Literal["normed", "bare"]
    upsampling: Literal["transposed", "nearest"]
    head: Literal["conv", "upsampling"]
    init: Literal["default", "kaiming"]
    log_var_clamp: list[Annotated[float, Field(allow_inf_nan=False)]]
    conditional: bool

    @field_validator("log_var_clamp")
    @classmethod
    def _lowest_below_highest(cls, value: list[float]) -> list[float]:
        if len(value) != 2 or value[0] >= value[1]:
            raise ValueError("two numbers, the lowest and then the highest, such as [-15.0, 15.0]")
        return value

    @property
    def channels(self) -> list[int]:
        """Channels after each stride-2 block (mlp: hidden units), from the image inwards."""
        return self.scaled(self.widths)

    def scaled(self, widths: Sequence[int]) -> list[int]:
        """`widths` times `width_scale`, rounded, at least 1; the discriminator's too."""
        return [max(1, round(width * self.width_scale)) for width in widths]

    @property
    def stride(self) -> int:
        """Factor by which the encoder shrinks height and width; 1 for an MLP, which has none."""
        return 1 if self.family == "mlp" else int(2 ** len(self.widths))


class TrainConfig(Section):
    """Optimiser, schedule, stopping, machines. 0 switches off clipping, stopping, average, film."""

    epochs: Count
    lr: Positive
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["adam", "adamw"]
    weight_decay: NonNegative
    scheduler: Literal["none", "plateau", "cosine", "step"]
    lr_factor: Fraction
    lr_patience: Annotated[int, Field(ge=0)]
    lr_every: Count
    lr_warmup: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    grad_clip: NonNegative
    early_stop_patience: Annotated[int, Field(ge=0)]
    keep: Literal["best", "last"]
    best_by: Literal["loss", "fid"]
    fid_every: Count
    ema: Annotated[float, Field(ge=0, lt=1)]
    flip: bool
    precision: Literal["auto", "fp32", "bf16"]
    compile: bool
    accumulate: Count
    devices: Count
    nodes: Count
    checkpoint_every: NonNegative
    film_every: Annotated[int, Field(ge=0)]

    @property
    def processes(self) -> int:
        """How many processes train together, on all machines."""
        return self.devices * self.nodes


class LoggingConfig(Section):
    """Who is told how training goes, and after how many updates each time."""

    every: Count
    dvclive: bool
    tensorboard: bool
    wandb: Literal["offline", "online"] | None


class MixtureConfig(Section):
    """The ex-post density of the codes; see `sampling.mixture`."""

    components: Annotated[list[Count], Field(min_length=1)]
    draws: Annotated[int, Field(ge=2)]
    signal: NonNegative
    axes: Count
    iterations: Count


class TraversalConfig(Section):
    """Which dimensions are walked through, how far and in how many steps."""

    dimensions: Count
    reach: Positive
    steps: Annotated[int, Field(ge=2)]


class InterpolationConfig(Section):
    """How many pairs of images, with how many images on the way, by which path."""

    pairs: Count
    steps: Annotated[int, Field(ge=2)]
    path: Literal["linear", "spherical"]


class SampleConfig(Section):
    """What a trained VAE draws: the images that are scored, and the pictures to look at."""

    count: Annotated[int, Field(ge=2)]
    batch_size: Count
    columns: Count
    temperatures: Annotated[list[NonNegative], Field(min_length=1)]
    mixture: MixtureConfig
    traversal: TraversalConfig
    interpolation: InterpolationConfig
    arithmetic: list[Annotated[list[str], Field(min_length=3, max_length=3)]] | None


class MetricsConfig(Section):
    """The judge, and the protocol of the scores."""

    features: Literal["judge", "inception"]
    weights: str | None
    batch_size: Count
    kid_subsets: Count
    kid_subset_size: Annotated[int, Field(ge=2)]
    active_threshold: Positive


class VariantConfig(Section):
    """Everything in which one variant may differ from another."""

    model: ModelConfig
    loss: LossConfig
    train: TrainConfig
    sample: SampleConfig


class Experiment(Section):
    """params.yaml, resolved: what every stage together will do."""

    preset: str
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    device: str
    data: DataConfig
    judge: ClassifierConfig
    critic: ClassifierConfig
    metrics: MetricsConfig
    logging: LoggingConfig
    variants: Annotated[dict[str, VariantConfig], Field(min_length=1)]

    @field_validator("seeds")
    @classmethod
    def _no_seed_twice(cls, value: list[int]) -> list[int]:
        if len(set(value)) != len(value):
            raise ValueError("a list of different integers, such as [0, 1, 2]")
        return value

    @field_validator("device")
    @classmethod
    def _known_device(cls, value: str) -> str:
        if not DEVICE.fullmatch(value):
            raise ValueError("auto, cpu, mps, cuda or cuda:<index>")
        return value


SHARED_SECTIONS: dict[str, type[Section]] = {
    "data": DataConfig,
    "judge": ClassifierConfig,
    "critic": ClassifierConfig,
    "metrics": MetricsConfig,
    "logging": LoggingConfig,
}
VARIANT_SECTIONS: dict[str, type[Section]] = {
    "model": ModelConfig,
    "loss": LossConfig,
    "train": TrainConfig,
    "sample": SampleConfig,
}
SECTIONS = SHARED_SECTIONS | VARIANT_SECTIONS
PRESET_SECTIONS = {name: SECTIONS[name] for name in ("data", "model", "loss", "train")}


def is_plain_name(name: object) -> bool:
    """Whether `name` can serve as a variant: part of a path and of a DVC stage's name."""
    return (
        isinstance(name, str)
        and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) is not None
        and PurePath(name).name == name
    )
