"""What is trained to find out which change brought what: factors, and the arms they make.

Two variants differ in many settings. A *factor* is a named group of them that is switched from the
first variant's values to the second's as one. An *arm* is a variant with some of the factors on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, ValidationError
from pyDOE3 import fracfact

from sharpvae.config.experiment import (
    SHARED_SECTIONS,
    VARIANT_SECTIONS,
    Experiment,
    VariantConfig,
)
from sharpvae.config.messages import describe_in
from sharpvae.config.names import ABLATIONS, NAME, is_name, read_params
from sharpvae.config.resolve import Resolved, resolve
from sharpvae.config.rules import check
from sharpvae.core.config import Section, flatten
from sharpvae.core.errors import UserError, UserErrors, nearest
from sharpvae.training.config import TrainConfig

MOST_FACTORS = 16  # of which the design takes 32 arms


class Ablation(Section):
    """ablations/<name>.yaml: two variants, and the factors that lead from one to the other."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, populate_by_name=True)

    title: str
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    match: Literal["updates", "multiply_adds"]
    settings: dict[str, Any]  # dotted key -> value in every arm
    factors: Annotated[dict[str, list[str]], Field(min_length=1, max_length=MOST_FACTORS)]


@dataclass(frozen=True)
class Arm:
    """One variant of the experiment: `start` with the factors `on` switched to those of `end`."""

    name: str
    on: frozenset[str]


@dataclass(frozen=True)
class Plan:
    """All arms of an ablation, and what each of them is."""

    name: str
    ablation: Ablation
    factors: dict[str, dict[str, tuple[Any, Any]]]  # factor -> key -> values off and on
    arms: dict[str, Arm]  # the two ends first
    mixed: list[str]  # those of the factorial design, both ends among them
    variants: dict[str, dict[str, Any]]  # arm -> its sections, as under `variants` of params.yaml
    experiment: Experiment  # params.yaml with the arms as its variants

    @property
    def ends(self) -> tuple[str, str]:
        """The arms with nothing and with everything on: the two variants."""
        return self.ablation.start, self.ablation.end

    @property
    def command(self) -> str:
        """What makes it again, with its own seeds."""
        seeds = ",".join(map(str, self.ablation.seeds))
        return f"sharpvae study ablation {self.name} --seeds {seeds}"

    def with_factors(self, on: frozenset[str]) -> Arm:
        """The arm with exactly these factors on; StopIteration where there is none."""
        return next(arm for arm in self.arms.values() if arm.on == on)


def load_ablation(path: Path) -> Ablation:
    """Read one file of ablations/.

    Raises:
        UserError: it is missing, is not YAML, or is not what an ablation is made of.
    """
    try:
        found = Ablation.model_validate(read_params(path))
    except ValidationError as error:
        keys = [field.alias or name for name, field in Ablation.model_fields.items()]
        raise UserErrors([describe_in(path, item, keys) for item in error.errors()]) from None
    for name in found.factors:
        if not is_name(name):
            raise UserError(f"{path}: factors.{name}", NAME, repr(name), "rename the factor")
    if len(set(found.seeds)) < len(found.seeds):
        expected = "different integers, such as [0, 1, 2]"
        raise UserError(f"{path}: seeds", expected, str(found.seeds))
    return found


def make_plan(
    name: str, ablation: Ablation, params: Mapping[str, Any], studies: Mapping[str, dict[str, Any]]
) -> Plan:
    """The arms of an ablation, each checked as a variant of params.yaml is.

    Args:
        name: of its file in ablations/.
        params, studies: as `resolve` takes them.

    Raises:
        UserError: a mistake in params.yaml, or in the ablation: each names the file and the key.
    """
    file = f"{ABLATIONS}/{name}.yaml"
    resolved = resolve(dict(params), studies)
    ends = [
        _with(_end(file, key, variant, resolved), ablation.settings, file)
        for key, variant in (("from", ablation.start), ("to", ablation.end))
    ]
    factors = _assigned(file, ablation, ends[0], ends[1])
    arms, mixed = design(ablation, list(factors))
    variants = {arm.name: _sections(arm, ends[0], ends[1], factors) for arm in arms}
    if ablation.match == "multiply_adds" and any(end["train.updates"] is None for end in ends):
        expected = "train.updates in every arm, for match: multiply_adds to scale"
        fix = "set train.updates under settings"
        raise UserError(f"{file}: match", expected, "train.epochs", fix)
    trial = {**params, "seeds": ablation.seeds, "variants": variants}
    try:
        found = resolve(trial, studies)
        check(found)
    except UserError as error:
        where = f"{file}: {error.where}"
        raise UserError(where, error.expected, error.found, error.fix) from None
    named = {arm.name: arm for arm in arms}
    return Plan(name, ablation, factors, named, mixed, variants, found.experiment)


def _end(file: str, key: str, variant: str, resolved: Resolved) -> dict[str, Any]:
    """The settings of a variant of params.yaml, by dotted key."""
    variants: Mapping[str, VariantConfig] = resolved.experiment.variants
    if variant in resolved.experiment.given:
        expected, found = "a variant that is trained", f"{variant}, which is images made elsewhere"
        raise UserError(f"{file}: {key}", expected, found, nearest("", variants))
    if variant not in variants:
        fix = nearest(variant, variants)
        raise UserError(f"{file}: {key}", "a variant of params.yaml", repr(variant), fix)
    return flatten(variants[variant].model_dump())


def _with(values: dict[str, Any], settings: Mapping[str, Any], file: str) -> dict[str, Any]:
    """`values` with `settings`; what says the same in another way is unset."""
    alternatives = [f"train.{key}" for key in TrainConfig.alternatives]
    for key, value in settings.items():
        _require_own(f"{file}: settings.{key}", key, values)
        if key in alternatives:
            values = values | dict.fromkeys(alternatives)
        values = values | {key: value}
    return values


def _require_own(where: str, key: str, values: Mapping[str, Any]) -> None:
    """UserError unless `key`, or what begins with it, is a setting of a variant."""
    if any(_covers(key, known) for known in values):
        return
    expected = f"a key of {', '.join(VARIANT_SECTIONS)}, or a section within one"
    if key.partition(".")[0] in SHARED_SECTIONS:
        found = f"{key}, which all variants share, or their scores could not be compared"
        raise UserError(where, expected, found, "set it in params.yaml, for all arms alike")
    raise UserError(where, expected, repr(key), nearest(key, values).partition(" valid names")[0])


def _covers(pattern: str, key: str) -> bool:
    return key == pattern or key.startswith(f"{pattern}.")


def _assigned(
    file: str, ablation: Ablation, start: Mapping[str, Any], end: Mapping[str, Any]
) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Each factor with the keys that it switches; every difference is in exactly one.

    Raises:
        UserErrors: a difference is in no factor, or in two; a factor switches nothing.
    """
    known = {**start, **end}  # a network of the user's own has other keys than one of ours
    changes = {k: (start.get(k), end.get(k)) for k in known if start.get(k) != end.get(k)}
    errors = []
    found: dict[str, dict[str, tuple[Any, Any]]] = {name: {} for name in ablation.factors}
    for name, patterns in ablation.factors.items():
        for pattern in patterns:
            _require_own(f"{file}: factors.{name}", pattern, known)
    for key, change in changes.items():
        owners = [
            name
            for name, patterns in ablation.factors.items()
            if any(_covers(pattern, key) for pattern in patterns)
        ]
        for name in owners:
            found[name][key] = change
        if len(owners) != 1:
            between = f"{key}, {change[0]} in {ablation.start} and {change[1]} in {ablation.end}"
            expected = "every setting in which the variants differ, in one factor"
            told = f"{between}, in {' and '.join(owners) or 'none'}"
            fix = "leave it in one" if owners else f"add it to a factor, or to {file}: settings"
            errors.append(UserError(f"{file}: factors", expected, told, fix))
    for name, keys in found.items():
        if not keys and not errors:
            expected = f"settings in which {ablation.start} and {ablation.end} differ"
            told = f"none among {', '.join(ablation.factors[name]) or 'no keys'}"
            errors.append(UserError(f"{file}: factors.{name}", expected, told, "remove the factor"))
    if errors:
        raise UserErrors(errors)
    return found


def _sections(
    arm: Arm, start: Mapping[str, Any], end: Mapping[str, Any], factors: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings of an arm, nested."""
    switched = {key for name in arm.on for key in factors[name]}
    nested: dict[str, Any] = {}
    for key in {**start, **end}:
        source = end if key in switched else start
        if key not in source:
            continue
        *parents, last = key.split(".")
        place = nested
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = source[key]
    return nested


def design(ablation: Ablation, factors: Sequence[str]) -> tuple[list[Arm], list[str]]:
    """All arms, and the names of those of the factorial design.

    Both ends; the first with one factor on; the second with one off; and the runs of `fraction`.
    Arms that coincide are one.
    """
    everything = frozenset(factors)
    named = {frozenset[str](): ablation.start, everything: ablation.end}
    for name in factors:
        named.setdefault(frozenset({name}), f"plus-{name}")
        named.setdefault(everything - {name}, f"minus-{name}")
    mixed = []
    for row in fraction(len(factors)):
        on = frozenset(name for name, used in zip(factors, row, strict=True) if used)
        mixed.append(named.setdefault(on, f"mix-{''.join(str(int(used)) for used in row)}"))
    return [Arm(name, on) for on, name in named.items()], mixed


def fraction(count: int) -> NDArray[np.bool_]:
    """A two-level design of `count` factors: (runs, count), True where one is on.

    Full for up to three factors, else a fraction of it of resolution IV (Box, Hunter & Hunter
    2005, chapter 6) whose generators are products of an odd number of factors, so that the
    opposite of each run is a run, too: main effects are clear of all interactions of two factors.
    """
    basic = next(n for n in range(1, 6) if count <= 2 ** (n - 1))
    letters = "abcde"[:basic]
    odd = ["".join(c) for size in (3, 5) for c in combinations(letters, size)]
    generators = [*letters, *odd][:count]
    return np.asarray(fracfact(" ".join(generators)) > 0)


def aliases(runs: NDArray[np.bool_]) -> list[tuple[list[tuple[int, int]], NDArray[np.float64]]]:
    """The interactions of two factors that a design tells apart.

    Returns:
        For each: the pairs that share it, whose effects it cannot separate, and the column
        (runs,) of 1 and -1 that measures their sum.
    """
    signs = np.where(runs, 1.0, -1.0)
    found: dict[bytes, tuple[list[tuple[int, int]], NDArray[np.float64]]] = {}
    for one, other in combinations(range(runs.shape[1]), 2):
        column = signs[:, one] * signs[:, other]
        found.setdefault(column.tobytes(), ([], column))[0].append((one, other))
    return list(found.values())
