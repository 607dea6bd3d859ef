"""The section `data`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from sharpvae.core.config import Count, Fraction, Section


class DataConfig(Section):
    """Which images, at what size, split how. Split and binarised pixels depend on `seed` alone."""

    name: str
    path: str | None
    mirror: str | None
    image_size: Annotated[int, Field(ge=16, le=1024)]
    fit: Literal["pad", "crop", "stretch"]
    subset: int | float | None
    classes: Annotated[list[str], Field(min_length=1)] | None
    binarize: Literal["static"] | None
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


class Minimum(Section):
    """How few images of each split the later stages can work with."""

    train: Count
    validation: Count
    test: Count
    mixture: Count = 1  # training images, again: two for each component of the smallest mixture


class PrepareStage(Section):
    """configs/prepare.json"""

    data: DataConfig
    minimum: Minimum
