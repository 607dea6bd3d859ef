"""What is searched: the variant, its settings, and how a choice of them is written down."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from sharpvae.config.names import Studies
from sharpvae.config.resolve import Resolved, resolve
from sharpvae.config.rules import check
from sharpvae.config.tune import Range, TuneConfig
from sharpvae.core.config import flatten
from sharpvae.core.errors import UserError, UserErrors, nearest
from sharpvae.core.files import write_text

DIGITS = 3  # significant ones of a number that is drawn, so that a person can write it
# Of the headline samples, on validation images; whether more is better.
OBJECTIVES = {
    "fid": False, "kid": False, "blur_px": False, "artefact": False, "precision": True,
    "recall": True, "density": True, "coverage": True,
}  # fmt: skip


def worst(name: str) -> float:
    """What an objective counts for where the images have no such score."""
    return 0.0 if OBJECTIVES[name] else math.inf


class Space(NamedTuple):
    """A search as params.yaml describes it.

    Attributes:
        params: as `names.read_settings` gives them.
        studies: name -> content.
        config: the section `tune`.
        training: the seed that every trial is trained with, the first of `seeds`.
    """

    params: dict[str, Any]
    studies: Mapping[str, dict[str, Any]]
    config: TuneConfig
    training: int

    def resolved(self, values: Mapping[str, Any]) -> Resolved:
        """The experiment with the searched variant alone, changed by `values`.

        Raises:
            UserError: such a variant cannot be trained.
        """
        name = self.config.variant
        trial = copy.deepcopy(self.params)
        trial["variants"] = {name: nested(trial["variants"][name] or {}, values)}
        trial["seeds"] = [self.training]
        found = resolve(trial, self.studies)
        check(found)
        return found


def read_space(params: dict[str, Any], studies: Studies) -> Space:
    """The search of params.yaml, with every end of every range tried on the rules.

    Raises:
        UserError: an unknown variant, score or setting; a value that a setting cannot have.
    """
    resolved = resolve(params, studies)
    config = resolved.experiment.tune
    variants = resolved.experiment.variants
    if config.variant not in variants:
        fix = nearest(config.variant, variants)
        raise UserError("tune.variant", "a variant of params.yaml", repr(config.variant), fix)
    for name in config.objectives:
        if name not in OBJECTIVES:
            fix = nearest(name, OBJECTIVES)
            raise UserError("tune.objectives", "scores of samples", repr(name), fix)
    if len(set(config.objectives)) < len(config.objectives):
        raise UserError("tune.objectives", "different scores", ", ".join(config.objectives))
    space = Space(params, studies, config, resolved.experiment.seeds[0])
    known = flatten(variants[config.variant].model_dump())
    errors = []
    for key, values in config.space.items():
        where = f"tune.space.{key}"
        if key not in known and key != "model.arguments":
            expected = f"a setting of variant '{config.variant}', such as train.lr"
            fix = nearest(key, known).partition(" valid names")[0]
            errors.append(UserError(where, expected, repr(key), fix))
            continue
        for value in ends(values):
            try:
                space.resolved({key: value})
            except UserError as error:
                found = f"{text(value)}: {error.where}: {error.found}"
                errors.append(UserError(where, error.expected, found, error.fix))
                break
    if errors:
        raise UserErrors(errors)
    return space


def ends(values: Range | list[Any]) -> list[Any]:
    """What bounds a range, or all that a list has."""
    return [values.low, values.high] if isinstance(values, Range) else values


def nested(sections: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The sections of a variant with dotted keys set in them."""
    whole = copy.deepcopy(dict(sections))
    for key, value in values.items():
        *parents, last = key.split(".")
        place = whole
        for parent in parents:
            place[parent] = dict(place.get(parent) or {})
            place = place[parent]
        if key in ("train.updates", "train.epochs"):  # each of them says how long
            place |= {"updates": None, "epochs": None}
        place[last] = value
    return whole


def rounded(value: Any) -> Any:
    """A number with `DIGITS` significant digits; anything else as it is."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def text(value: Any) -> str:
    """A value as `-S` takes it: 0.001, true, null, [32, 64] without spaces, or a word."""
    if isinstance(value, str):
        return value
    return repr(value) if isinstance(value, float) else json.dumps(value, separators=(",", ":"))


def command(params: Mapping[str, Any], variant: str, values: Mapping[str, Any]) -> str:
    """The line that runs a variant with these settings: `dvc exp run -S ...`."""
    known = flatten(params["variants"][variant] or {})
    parts = []
    for key, value in values.items():
        sign = "" if key in known else "++"
        word = f"{sign}variants.{variant}.{key}={text(value)}"
        parts.append(f"-S '{word}'")
    return " ".join(["dvc exp run", *parts])


def apply(path: Path, variant: str, values: Mapping[str, Any]) -> None:
    """Write settings of a variant into params.yaml, which keeps its comments and its order."""
    document = YAML()
    document.preserve_quotes, document.width = True, 100
    params = document.load(path.read_text(encoding="utf-8"))
    for key, value in values.items():
        *parents, last = key.split(".")
        place = params["variants"]
        for parent in (variant, *parents):
            if place.get(parent) is None:
                place[parent] = document.map()
                place[parent].fa.set_flow_style()
            place = place[parent]
        place[last] = value
    stream = io.StringIO()
    document.dump(params, stream)
    write_text(path, stream.getvalue())
