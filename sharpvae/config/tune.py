"""The section `tune`: what `sharpvae tune` searches, and by which scores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sharpvae.core.config import Section

Number = Annotated[int | float, Field(allow_inf_nan=False)]


class Range(Section):
    """Numbers from `low` to `high`, both among them; whole ones where both are."""

    low: Number
    high: Number
    log: bool = False  # as likely from 1 to 10 as from 10 to 100

    @model_validator(mode="after")
    def _in_order(self) -> Range:
        if not self.low < self.high:
            raise ValueError("low below high")
        if self.log and self.low <= 0:
            raise ValueError("low above 0, for log")
        return self

    @property
    def whole(self) -> bool:
        """Whether its numbers are integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)


class TuneConfig(Section):
    """Of no stage; a change of it trains nothing anew."""

    variant: str
    objectives: Annotated[list[str], Field(min_length=1, max_length=2)]
    sampler: Literal["tpe", "random"]
    seed: Annotated[int, Field(ge=0)]
    space: Annotated[
        dict[str, Range | Annotated[list[Any], Field(min_length=2)]], Field(min_length=1)
    ]
