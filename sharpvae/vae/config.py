"""The section `model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field, field_validator

from sharpvae.core.config import Count, NonNegative, Positive, Section, Widths


class ModelConfig(Section):
    """Encoder and decoder. Channel counts are `widths` times `width_scale`, rounded."""

    family: Literal["conv", "mlp"]
    latent_dim: Count
    widths: Widths
    width_scale: Positive
    kernel: Literal[3, 4]
    activation: Literal["leaky_relu", "relu", "silu", "tanh"]
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
