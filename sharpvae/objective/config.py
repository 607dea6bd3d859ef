"""The typed schema of the section `loss`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sharpvae.core.config import Count, NonNegative, Positive, Section, Widths


class LossWeights(Section):
    """Weight of each reconstruction term; 0 leaves the term out."""

    mse: NonNegative = 0.0
    l1: NonNegative = 0.0
    bce: NonNegative = 0.0
    gaussian: NonNegative = 0.0
    frequency: NonNegative = 0.0
    perceptual: NonNegative = 0.0
    lpips: NonNegative = 0.0
    adversarial: NonNegative = 0.0
    matching: NonNegative = 0.0


class ScheduleConfig(Section):
    """How a weight comes to its full value; see `objective.schedules`."""

    shape: Literal["constant", "linear", "cosine", "sigmoid", "cyclic"]
    unit: Literal["epochs", "steps", "fraction"]
    start: NonNegative
    length: NonNegative
    cycle: NonNegative
    every: Literal["step", "epoch"]

    @model_validator(mode="after")
    def _rises_within_its_cycle(self) -> ScheduleConfig:
        if self.shape == "cyclic" and not 0 < self.length <= self.cycle:
            raise ValueError("0 < length <= cycle, as shape: cyclic needs it")
        return self


class SchedulesConfig(Section):
    """One schedule for each weight that may move."""

    beta: ScheduleConfig
    perceptual: ScheduleConfig
    adversarial: ScheduleConfig


class AdversarialConfig(Section):
    """The discriminator, its loss, and what it takes for a fake."""

    loss: Literal["hinge", "bce"]
    fakes: Literal["reconstructions", "samples", "both"]
    codes: Literal["prior", "aggregate"]
    adaptive: bool
    heads: Literal["patch", "image", "both"]
    widths: Widths
    norm: Literal["batch", "group", "spectral", "none"]
    activation: Literal["leaky_relu", "silu"]
    lr: Positive
    r1: NonNegative
    r1_every: Count
    augment: list[Literal["colour", "translation", "cutout"]]

    @model_validator(mode="after")
    def _penalises_single_images(self) -> AdversarialConfig:
        if self.r1 > 0 and self.norm == "batch":
            raise ValueError(
                "norm: group, spectral or none where r1 is above 0: with batch norm a logit "
                "depends on all images, and has no gradient by one"
            )
        return self

    @property
    def smallest_side(self) -> int:
        """Pixels an image must have for one patch at least; see `Discriminator`."""
        return int(2 ** max(0, len(self.widths) - 2))


class PerceptualConfig(Section):
    """Which network's features the perceptual term compares, and how."""

    network: Literal["critic", "lite1", "lite2", "vgg16", "vgg19"]
    weights: str | None
    layers: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None
    resize: Annotated[int, Field(ge=16, le=1024)] | None
    distance: Literal["relative", "normalised"]

    @field_validator("network", mode="before")
    @classmethod
    def _never_one_that_scores(cls, value: object) -> object:
        if value in ("judge", "inception", "lite0"):
            raise ValueError(
                "critic, lite1, lite2, vgg16 or vgg19: never the network that scores, for a "
                "variant trained on its features would learn to please it, and its FID and KID "
                "would mean nothing"
            )
        return value


class LpipsConfig(Section):
    """The network under LPIPS (Zhang et al. 2018)."""

    network: Literal["alex", "vgg"]
    weights: str | None


class LossConfig(Section):
    """Reconstruction and KL, and how each is reduced; see `objective.beta_sigma`."""

    beta: NonNegative
    kl_reduction: Literal["sum", "mean"]
    kl_floor: NonNegative
    free_bits: NonNegative
    kl_share: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    reduction: Literal["sum", "mean"]
    reconstruction_weight: Positive
    weights: LossWeights
    schedules: SchedulesConfig
    perceptual: PerceptualConfig
    lpips: LpipsConfig
    adversarial: AdversarialConfig

    @property
    def likelihood(self) -> Literal["none", "bernoulli", "gaussian"]:
        """Which likelihood of the images the terms are: that of `bce` or `gaussian` alone."""
        used = [name for name, weight in self.weights.model_dump().items() if weight > 0]
        if used == ["bce"]:
            return "bernoulli"
        return "gaussian" if used == ["gaussian"] else "none"

    @model_validator(mode="after")
    def _something_to_reconstruct(self) -> LossConfig:
        weights = self.weights.model_dump()
        del weights["adversarial"]  # which rewards any real-looking image, like the input or not
        if not any(weights.values()):
            names = ", ".join(f"weights.{name}" for name in weights)
            raise ValueError(f"at least one of {names} above 0")
        return self

    @model_validator(mode="after")
    def _features_that_are_learnt(self) -> LossConfig:
        if self.weights.matching > 0 and self.weights.adversarial == 0:
            raise ValueError(
                "weights.adversarial above 0 where weights.matching is: it trains the "
                "discriminator whose features are matched"
            )
        return self
