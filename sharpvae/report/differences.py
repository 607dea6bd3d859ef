"""In which settings the variants differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sharpvae.config.dotted import flatten, text
from sharpvae.config.schema import VariantConfig


@dataclass(frozen=True)
class Difference:
    """One setting that is not the same in all variants.

    Attributes:
        key: dotted, as in `loss.beta`.
        values: one for each variant, written as in JSON, strings without quotes.
    """

    key: str
    values: list[str]


def differences(variants: Mapping[str, VariantConfig]) -> list[Difference]:
    """The settings in which at least two of the variants differ, in the order of the schema."""
    flat = [flatten(config.model_dump(mode="json")) for config in variants.values()]
    return [
        Difference(key, [text(values[key]) for values in flat])
        for key in flat[0]
        if any(values[key] != flat[0][key] for values in flat)
    ]
