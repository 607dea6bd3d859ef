"""Nested configuration as dotted keys, and its values as text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"loss": {"beta": 1.0}} -> {"loss.beta": 1.0}, in the order of `tree`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        flat |= flatten(value, f"{dotted}.") if isinstance(value, dict) else {dotted: value}
    return flat


def text(value: Any) -> str:
    """A value as one reads it: null, true, 0.5, [1, 2]; text without quotes."""
    if isinstance(value, str):
        return value
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)
