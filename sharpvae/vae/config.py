"""The section `model`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticKnownError

from sharpvae.core.config import MOST_UNITS, NonNegative, Positive, Section, Units, Widths
from sharpvae.vae.reference import FORMS, is_own, parse

Family = Literal["conv", "mlp"]
# What a network of the user's own does not read. These stand in for whatever the layers say, and
# are never written, so that none of these keys trains it anew.
OURS_ALONE: dict[str, Any] = {
    "widths": [1], "activation": "relu", "negative_slope": 0.0, "norm": "none", "dropout": 0.0,
    "kernel": 3, "blocks": "plain", "ends": "bare", "upsampling": "nearest", "head": "conv",
    "init": "default",
}  # fmt: skip
GIVEN = ("image_channels", "image_size", "latent_dim", "classes")  # beside `arguments`


class ModelConfig(Section):
    """Encoder and decoder. Channel counts are `widths` times `width_scale`, rounded.

    `family` is one of ours, or names a network of the user's own (docs/networks.md), which reads
    none of `OURS_ALONE` and is passed `arguments`.
    """

    family: str
    latent_dim: Units
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
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _read_by_the_family(cls, values: Any) -> Any:
        """Leave out what this family does not read, whichever layer it comes from."""
        if not isinstance(values, dict):
            return values
        if not is_own(values.get("family")):
            return values | {"arguments": {}}
        given = values.get("arguments")
        return values | OURS_ALONE | {"arguments": {} if given is None else given}

    @field_validator("family")
    @classmethod
    def _one_of_ours_or_a_reference(cls, value: str) -> str:
        if is_own(value):
            parse(value)
        elif value not in get_args(Family):
            ours = ", ".join(f"'{name}'" for name in get_args(Family))
            raise PydanticKnownError("literal_error", {"expected": f"{ours}, {FORMS}"})
        return value

    @field_validator("arguments")
    @classmethod
    def _plain_values(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name in value:
            if not name.isidentifier() or name in GIVEN:
                raise ValueError(f"names that Python takes, and none of {', '.join(GIVEN)}")
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError, RecursionError):
            raise ValueError("numbers, text, true, false, lists and mappings") from None
        return value

    @model_validator(mode="after")
    def _layers_that_a_machine_can_have(self) -> ModelConfig:
        if max(self.widths) * self.width_scale > MOST_UNITS:
            raise ValueError(f"widths times width_scale of at most {MOST_UNITS}")
        return self

    @model_serializer(mode="wrap")
    def _what_is_read(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        unread = OURS_ALONE if self.own else ("arguments",)
        return {key: value for key, value in dump(self).items() if key not in unread}

    @field_validator("log_var_clamp")
    @classmethod
    def _lowest_below_highest(cls, value: list[float]) -> list[float]:
        if len(value) != 2 or value[0] >= value[1]:
            raise ValueError("two numbers, the lowest and then the highest, such as [-15.0, 15.0]")
        return value

    @property
    def own(self) -> bool:
        """Whether the network is the user's own."""
        return is_own(self.family)

    @property
    def least(self) -> int:
        """Images that a batch must have in training, for batch norm; one's own may have it, too."""
        return 2 if self.own or self.norm == "batch" else 1

    @property
    def channels(self) -> list[int]:
        """Channels after each stride-2 block (mlp: hidden units), from the image inwards."""
        return self.scaled(self.widths)

    def scaled(self, widths: Sequence[int]) -> list[int]:
        """`widths` times `width_scale`, rounded, at least 1; the discriminator's too."""
        return [max(1, round(width * self.width_scale)) for width in widths]

    @property
    def stride(self) -> int:
        """Factor by which our encoder shrinks height and width; 1 for an MLP, which has none."""
        return 1 if self.own or self.family == "mlp" else int(2 ** len(self.widths))
