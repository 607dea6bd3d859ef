"""In which settings the variants differ."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    flat = [_flatten(config.model_dump(mode="json")) for config in variants.values()]
    return [
        Difference(key, [_text(values[key]) for values in flat])
        for key in flat[0]
        if any(values[key] != flat[0][key] for values in flat)
    ]


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= _flatten(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return flat


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
