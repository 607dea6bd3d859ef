"""Dotted keys and readable values."""

from __future__ import annotations

import pytest

from sharpvae.core.config import flatten, text


def test_nested_keys_are_joined_in_order() -> None:
    assert list(flatten({"b": {"y": 1, "x": {"z": 2}}, "a": [3]}).items()) == [
        ("b.y", 1),
        ("b.x.z", 2),
        ("a", [3]),
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "null"), (True, "true"), (1e-05, "1e-05"), (0.50, "0.5"), (2000.0, "2000"), (3, "3"),
     ([1, 2], "[1, 2]"), ("pad", "pad")],
)  # fmt: skip
def test_values_read_as_in_yaml(value: object, shown: str) -> None:
    assert text(value) == shown
