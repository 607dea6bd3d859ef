"""This repository as the tests of its imports see it."""

from __future__ import annotations

from pathlib import Path

from sharpvae.import_closure import import_closure

REPOSITORY = Path(__file__).parents[1]


def closure(path: Path) -> set[Path]:
    """`path` and every file of this repository that it imports, directly or not."""
    return import_closure(path, REPOSITORY)
