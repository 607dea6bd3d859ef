"""Layers of settings, the lowest first, merged key by key; each value remembers its layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sharpvae.config.experiment import (
    PRESET_SECTIONS,
    SHARED_SECTIONS,
    VARIANT_SECTIONS,
    Experiment,
)
from sharpvae.config.messages import describe
from sharpvae.config.names import (
    SINGLE,
    STUDIES,
    Studies,
    named_studies,
    place,
    read_settings,
    unknown_keys,
)
from sharpvae.core.config import Section, nested_section
from sharpvae.core.errors import UserError, UserErrors, nearest
from sharpvae.objective.config import LossWeights

DEFAULTS = "defaults"  # the lowest layer, which everything else is there to override
UNLISTED = "terms that no study lists"  # which weigh nothing
SILENT = (DEFAULTS, UNLISTED)  # what stands there may be overridden without a word


@dataclass(frozen=True)
class Layer:
    """One source of values: `prefix` is where it stands, as a dotted key of params.yaml."""

    prefix: str
    values: dict[str, Any]

    def at(self, *keys: str) -> Layer:
        """The section below, empty where there is none."""
        values: dict[str, Any] = self.values
        for key in keys:
            values = values.get(key) or {}
        return Layer(_dotted(self.prefix, *keys), values)


class Shadow(NamedTuple):
    """One value that has no effect, because a higher layer says otherwise."""

    winner: str
    value: Any
    loser: str
    lost: Any


@dataclass
class Trace:
    """Where each resolved value came from, and what was shadowed, noted while merging."""

    sources: dict[str, str] = field(default_factory=dict)
    shadowed: list[Shadow] = field(default_factory=list)


def merge(
    path: str, layers: Sequence[Layer], section: type[Section], trace: Trace
) -> dict[str, Any]:
    """The highest layer that is not null decides each key; nested sections merge key by key.

    Args:
        path: dotted key of the section in the resolved configuration.
        layers: the lowest first.
        section: whose keys are merged.
        trace: notes the source of every key, and what was shadowed.
    """
    merged: dict[str, Any] = {}
    for key in section.model_fields:
        nested = nested_section(section, key)
        if nested is not None:
            below = [layer.at(key) for layer in layers]
            merged[key] = merge(f"{path}.{key}", below, nested, trace)
            continue
        given = [layer for layer in layers if layer.values.get(key) is not None]
        merged[key] = given[-1].values[key] if given else None
        trace.sources[f"{path}.{key}"] = (
            _dotted(given[-1].prefix, key) if given else f"{path}.{key}"
        )
        trace.shadowed.extend(_shadows(given, key))
    return merged


def _shadows(given: Sequence[Layer], key: str) -> Iterable[Shadow]:
    """The values of `key` that a higher layer overrides."""
    for lower in given[:-1]:
        if lower.values[key] != given[-1].values[key] and not lower.prefix.startswith(SILENT):
            winner, loser = _dotted(given[-1].prefix, key), _dotted(lower.prefix, key)
            yield Shadow(winner, given[-1].values[key], loser, lower.values[key])


def _dotted(prefix: str, *keys: str) -> str:
    own = not prefix or prefix.endswith(" ")  # a file's name stands before its keys
    return prefix + ".".join(keys) if own else ".".join([prefix, *keys])


class Demand(NamedTuple):
    """A value that a section preset brings along for another section."""

    where: str  # dotted key that names the preset
    preset: str
    key: str  # dotted key, such as data.image_size
    value: Any


@dataclass(frozen=True)
class Resolved:
    """A resolved experiment, where each value came from, and what was shadowed.

    Attributes:
        experiment: the validated configuration.
        sources: resolved dotted key -> dotted key in params.yaml that decided it. Keys of a
            variant read `variants.<name>.<section>.<key>`.
        shadowed: every explicit value that a higher layer overrides with another.
        demands: what the section presets that one variant alone names ask of the sections that
            all variants share, where they cannot have it their way.
    """

    experiment: Experiment
    sources: dict[str, str]
    shadowed: list[Shadow] = field(default_factory=list)
    demands: list[Demand] = field(default_factory=list)


def resolve_file(path: Path) -> Resolved:
    """Read and resolve params.yaml at `path`, with presets/ and studies/ beside it."""
    return resolve(read_settings(path), Studies(path.parent / STUDIES))


def resolve(
    params: dict[str, Any], studies: Mapping[str, dict[str, Any]] | None = None
) -> Resolved:
    """Merge the layers of `params` and validate the outcome.

    Args:
        params: as `names.read_settings` gives them.
        studies: name -> content, for the variants that name one.

    Raises:
        UserError: with every mistake found, each naming its dotted key in params.yaml.
    """
    variants = params.get("variants")
    named = named_studies(params, studies or {}) if isinstance(variants, dict) else {}
    errors = unknown_keys(params, named)
    if errors:
        raise UserErrors(errors)
    layers = _Layers(params, named)
    trace = Trace({key: key for key in SINGLE})
    merged: dict[str, Any] = {key: params.get(key) for key in SINGLE}
    for section, schema in SHARED_SECTIONS.items():
        merged[section] = merge(section, layers.shared(section), schema, trace)
    merged["variants"] = {
        name: {
            section: merge(
                f"variants.{name}.{section}", layers.variant(name, section), schema, trace
            )
            for section, schema in VARIANT_SECTIONS.items()
        }
        for name in params["variants"]
    }
    try:
        experiment = Experiment.model_validate(merged)
    except ValidationError as error:
        raise UserErrors([describe(item, trace.sources) for item in error.errors()]) from None
    return Resolved(experiment, trace.sources, trace.shadowed, layers.demands())


class _Layers:
    """The layers of one experiment.

    Args:
        params: params.yaml, its names known to be right.
        studies: variant -> the content of the study that it names.
    """

    def __init__(self, params: dict[str, Any], studies: Mapping[str, dict[str, Any]]) -> None:
        self.top = Layer("", params)
        self.defaults, self.preset = self.top.at(DEFAULTS), _chosen_preset(params)
        self.studies = {
            variant: Layer(f"{place(params['variants'][variant]['study'])}: ", study)
            for variant, study in studies.items()
        }

    def shared(self, section: str) -> list[Layer]:
        """Of a section that all variants share."""
        layers = [self.defaults.at(section)]
        for layer in (self.preset, self.top):
            layers += [self._brought(named, section) for named in self._all_named(layer)]
            layers += self._over_preset(layer, section)
        return layers

    def variant(self, name: str, section: str) -> list[Layer]:
        """Of a section of one variant."""
        study = self.studies.get(name, Layer("", {}))
        lists = study.at("loss").values.keys() & {"weights", "preset"}
        weights = dict.fromkeys(LossWeights.model_fields, 0.0) if lists else {}
        return [
            self.defaults.at(section),
            *self._over_preset(self.preset, section),
            *self._over_preset(study.at("presets", self.preset_name), section),
            *self._over_preset(self.preset.at("variants", name), section),
            *self._over_preset(self.top, section),
            Layer(UNLISTED, {"loss": {"weights": weights}}).at(section),
            *self._over_preset(study, section),
            *self._over_preset(self.top.at("variants", name), section),
        ]

    def demands(self) -> list[Demand]:
        """Of the section presets that a variant or its study names."""
        found = []
        for name in self.top.at("variants").values:
            study = self.studies.get(name, Layer("", {}))
            for layer in (
                study.at("presets", self.preset_name),
                self.preset.at("variants", name),
                study,
                self.top.at("variants", name),
            ):
                for named in self._all_named(layer):
                    section = named.prefix.split(".")[1]
                    where = f"{layer.at(section).prefix}.preset"
                    found += [
                        Demand(where, layer.values[section]["preset"], key, value)
                        for key, value in named.values.items()
                        if "." in key
                    ]
        return found

    @property
    def preset_name(self) -> str:
        """Of the preset in effect."""
        return str(self.top.values["preset"])

    def _over_preset(self, layer: Layer, section: str) -> list[Layer]:
        """The section of `layer`, and below it the section preset that it names."""
        own = layer.at(section)
        named = self._named(own, section) if section in PRESET_SECTIONS else None
        return [own] if named is None else [named, own]

    def _all_named(self, layer: Layer) -> list[Layer]:
        """Every section preset that `layer` names."""
        named = [self._named(layer.at(section), section) for section in PRESET_SECTIONS]
        return [preset for preset in named if preset is not None]

    @staticmethod
    def _brought(preset: Layer, section: str) -> Layer:
        """What a section preset brings along for `section`, under keys such as data.image_size."""
        start = f"{section}."
        values = {k.removeprefix(start): v for k, v in preset.values.items() if k.startswith(start)}
        return Layer(f"{preset.prefix}.{section}", values)

    def _named(self, own: Layer, section: str) -> Layer | None:
        name = own.values.get("preset")
        if name is None:
            return None
        presets = self.top.at("section_presets", section)
        if not isinstance(name, str) or name not in presets.values:
            raise UserError(
                f"{own.prefix}.preset",
                f"the name of one of section_presets.{section}",
                repr(name),
                nearest(str(name), presets.values),
            )
        return presets.at(name)


def _chosen_preset(params: dict[str, Any]) -> Layer:
    name, presets = params.get("preset"), params.get("presets") or {}
    if not isinstance(name, str) or name not in presets:
        raise UserError(
            "preset",
            "the name of one of the presets in params.yaml",
            repr(name),
            nearest(str(name), presets),
        )
    return Layer("", params).at("presets", str(name))


def shadows(resolved: Resolved) -> list[str]:
    """One sentence for each layer that overrides others: in which of its keys."""
    groups: dict[str, dict[str, None]] = {}
    for shadow in resolved.shadowed:
        layer, key = layer_and_key(shadow.winner)
        groups.setdefault(layer, {})[key] = None
    return [
        f"{layer} overrides lower layers in {', '.join(keys)}" for layer, keys in groups.items()
    ]


def layer_and_key(dotted: str) -> tuple[str, str]:
    """Where a value stands, and its key there: ("presets.toy", "train.epochs")."""
    file, found, key = dotted.partition(": ")
    if found:
        return file, key
    parts = dotted.split(".")
    if parts[0] == "section_presets":
        return ".".join(parts[:3]), ".".join(parts[1:2] + parts[3:])
    if parts[0] in ("variants", "presets"):
        return ".".join(parts[:2]), ".".join(parts[2:])
    return "an explicit key", dotted
