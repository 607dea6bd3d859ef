"""Workspaces that are laid once and copied, since fitting priors takes a second."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gallery.workspace import lay

Laid = Callable[..., Path]


@pytest.fixture(scope="session")
def laid(tmp_path_factory: pytest.TempPathFactory) -> Laid:
    """`laid(target, **model)` puts what `lay` makes at `target`."""
    made: dict[str, Path] = {}

    def copied(target: Path, **model: Any) -> Path:
        if str(model) not in made:
            made[str(model)] = lay(tmp_path_factory.mktemp("laid"), **model)
        shutil.copytree(made[str(model)], target)
        return target

    return copied
