"""The settings that come with the package, and an experiment made from them in Python."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import files
from pathlib import Path
from typing import Any

from sharpvae.config.experiment import Experiment
from sharpvae.config.names import STUDIES, Studies, read_settings, require_modest
from sharpvae.config.resolve import resolve
from sharpvae.config.rules import check
from sharpvae.core.errors import UserError

PARAMS = "params.yaml"
REQUIREMENTS = "requirements.txt"  # with the package's version, where its code is not


def shipped() -> Path:
    """The folder of params.yaml, presets/ and studies/ of the checkout, or of the package."""
    checkout = Path(__file__).parents[2]
    if (checkout / PARAMS).exists():
        return checkout
    for file in files("sharpvae") or ():
        if file.name == PARAMS and "share" in file.parts:
            return Path(str(file.locate())).resolve().parent
    raise UserError("sharpvae", "a whole installation", f"no {PARAMS} in it", "install it anew")


def configured(changes: Mapping[str, Any], folder: Path | None = None) -> Experiment:
    """The experiment of params.yaml with some keys changed, checked as `configure` checks it.

    Args:
        changes: as params.yaml has them, such as `{"preset": "toy", "loss": {"beta": 0.5}}`; a
            mapping changes the keys that it names. New variants go beside those that are there.
        folder: of params.yaml, presets/ and studies/; None takes what comes with the package.

    Raises:
        UserError: with every mistake found, each naming its dotted key.
    """
    place = shipped() if folder is None else folder
    require_modest(Path("changes"), changes)
    params = _changed(read_settings(place / PARAMS), changes)
    resolved = resolve(params, Studies(place / STUDIES))
    check(resolved)
    return resolved.experiment


def _changed(tree: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`tree` with `changes`, mapping by mapping."""
    merged = dict(tree)
    for key, value in changes.items():
        old = merged.get(key)
        nested = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _changed(dict(old or {}), value) if nested else value
    return merged
