"""Layers of settings, the lowest first, merged key by key; the source of each value is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sharpvae.config.experiment import (
    BEFORE_SECTIONS,
    PRESET_SECTIONS,
    SHARED_SECTIONS,
    VARIANT_SECTIONS,
    Experiment,
    VariantConfig,
)
from sharpvae.config.messages import describe
from sharpvae.config.names import (
    BEFORE,
    SINGLE,
    STUDIES,
    Studies,
    chosen,
    named_studies,
    read_settings,
    unknown_keys,
)
from sharpvae.core.config import Section, is_given, nested_section
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.objective.config import LossWeights

DEFAULTS = "defaults"  # the lowest layer, which every other one overrides
UNLISTED = "terms that no study lists"  # which weigh nothing
SILENT = (DEFAULTS, UNLISTED)  # overriding these is not reported


class Layer(NamedTuple):
    """One source of values; `prefix` and a key make a dotted key of params.yaml."""

    prefix: str
    values: dict[str, Any]

    def at(self, *keys: str) -> Layer:
        """The section below, empty where there is none."""
        values = self.values
        for key in keys:
            values = values.get(key) or {}
        return Layer(f"{self.prefix}{'.'.join(keys)}.", values)


class Shadow(NamedTuple):
    """Two dotted keys of params.yaml: the second has no effect, as the first overrides it."""

    winner: str
    loser: str


class Demand(NamedTuple):
    """A value that a section preset sets in another section."""

    where: str  # dotted key that names the preset
    preset: str
    key: str  # dotted key, such as data.image_size
    value: Any


class Resolved(NamedTuple):
    """A resolved experiment, where each value came from, and what was overridden.

    Attributes:
        experiment: the validated configuration.
        sources: resolved dotted key -> dotted key in params.yaml that decided it. Keys of a
            variant read `variants.<name>.<section>.<key>`.
        shadowed: every explicit value that a higher layer overrides with another.
        demands: what section presets that one variant names set in the sections that all variants
            share, where a variant cannot change it.
        given: those keys of `sources` that any layer sets.
    """

    experiment: Experiment
    sources: dict[str, str]
    shadowed: list[Shadow]
    demands: list[Demand]
    given: set[str]

    def before(self, name: str) -> Resolved:
        """What a variant is trained with first, as its only variant, `<name>.before`."""
        variant, start = self.experiment.variants[name], f"variants.{name}."
        first, keys = f"{name}.{BEFORE}", ("model.", "sample.")
        own = {key.removeprefix(start): key for key in self.sources if key.startswith(start)}
        shared = {f"{start}{BEFORE}.{k}": key for k, key in own.items() if k.startswith(keys)}
        update = {**dict(variant.before or ()), BEFORE: None}
        variants = {first: variant.model_copy(update=update)}
        return self._replace(
            experiment=self.experiment.model_copy(update={"variants": variants}),
            sources=self.sources | {key: self.sources[same] for key, same in shared.items()},
            given=self.given | {key for key, same in shared.items() if same in self.given},
        )

    def variant(self, name: str) -> tuple[VariantConfig, dict[str, str]]:
        """One that is trained, and `sources` with its own keys as `loss.beta` beside the shared."""
        start = f"variants.{name}."
        sources = {key.removeprefix(start): source for key, source in self.sources.items()}
        return self.experiment.variants[name], sources


def resolve_file(path: Path) -> Resolved:
    """Read and resolve params.yaml at `path`, with presets/ and studies/ beside it."""
    return resolve(read_settings(path), Studies(path.parent / STUDIES))


def resolve(params: dict[str, Any], studies: Mapping[str, dict[str, Any]]) -> Resolved:
    """Merge the layers of `params` and validate the outcome.

    Args:
        params: as `names.read_settings` gives them.
        studies: name -> content.

    Raises:
        UserError: with every mistake found, each naming its dotted key in params.yaml.
    """
    named = named_studies(params, studies)
    errors = unknown_keys(params, named.values())
    if errors:
        raise UserErrors(errors)
    layers = _Layers(params, named)
    merged = layers.merged()
    if layers.errors:
        raise UserErrors(layers.errors)
    try:
        experiment = Experiment.model_validate(merged)
    except ValidationError as error:
        raise UserErrors([describe(item, layers.sources) for item in error.errors()]) from None
    return Resolved(experiment, layers.sources, layers.shadowed, layers.demands(), layers.given)


class _Layers:
    """The layers of `params`, whose names are right, and what was noted while they were merged."""

    def __init__(
        self, params: dict[str, Any], studies: Mapping[str, tuple[str, dict[str, Any]]]
    ) -> None:
        self.sources = {key: key for key in SINGLE}
        self.shadowed: list[Shadow] = []
        self.given: set[str] = set()
        self.errors: list[UserError] = []
        name, expected = params.get("preset"), "the name of one of the presets in params.yaml"
        preset = chosen("preset", name, params["presets"], expected)
        self.top, self.preset_name = Layer("", params), str(name)
        variants = params["variants"]
        self.trained = [name for name, own in variants.items() if not is_given(own)]
        self.preset = Layer(f"presets.{name}.", preset or {})
        self.studies = {
            variant: Layer(f"{file}: ", content) for variant, (file, content) in studies.items()
        }

    def merged(self) -> dict[str, Any]:
        """The merged sections; fills `sources` and `shadowed`."""
        merged: dict[str, Any] = {key: self.top.values.get(key) for key in SINGLE}
        for section, schema in SHARED_SECTIONS.items():
            merged[section] = self._merge(section, self._shared(section), schema)
        variants = self.top.values["variants"]
        merged |= {"variants": {name: {} for name in self.trained}, "order": list(variants)}
        merged["given"] = {
            name: {"samples": own["samples"]} for name, own in variants.items() if is_given(own)
        }
        for name, variant in merged["variants"].items():
            for section, schema in VARIANT_SECTIONS.items():
                layers = self._variant(name, section)
                variant[section] = self._merge(f"variants.{name}.{section}", layers, schema)
            first = [layer for layer in self._single(name) if layer.values.get(BEFORE) is not None]
            if first:  # as the variant itself, but for what is set there
                variant[BEFORE] = {}
            for section, schema in BEFORE_SECTIONS.items() if first else ():
                layers = self._variant(name, section)
                for layer in (layer.at(BEFORE) for layer in first):
                    layers += [*self._named(layer, section), layer.at(section)]
                path = f"variants.{name}.{BEFORE}.{section}"
                variant[BEFORE][section] = self._merge(path, layers, schema)
        return merged

    def _merge(self, path: str, layers: Sequence[Layer], schema: type[Section]) -> dict[str, Any]:
        """The highest layer that is not null decides each key; nested sections merge key by key.

        `path` is the resolved dotted key of the section; the lowest of the layers comes first.
        """
        merged: dict[str, Any] = {}
        kept = self._without_alternatives(layers, schema.alternatives)
        for key in schema.model_fields:
            dotted, nested = f"{path}.{key}", nested_section(schema, key)
            if nested is not None:
                merged[key] = self._merge(dotted, [layer.at(key) for layer in layers], nested)
                continue
            given = [layer for layer in kept if layer.values.get(key) is not None]
            value = merged[key] = given[-1].values[key] if given else None
            self.given |= {dotted} if given else set()
            winner = self.sources[dotted] = f"{given[-1].prefix}{key}" if given else dotted
            self.shadowed += [
                Shadow(winner, f"{lower.prefix}{key}")
                for lower in given[:-1]
                if lower.values[key] != value and not lower.prefix.startswith(SILENT)
            ]
        return merged

    def _without_alternatives(
        self, layers: Sequence[Layer], names: tuple[str, ...]
    ) -> Sequence[Layer]:
        """The layers without those of the keys `names` that a higher layer decides by another."""
        kept: list[Layer] = []
        winner: tuple[str, str] | None = None  # the key that decides, without and with its layer
        for layer in reversed(layers):
            given = [name for name in names if layer.values.get(name) is not None]
            if len(given) > 1:
                keys = [f"{layer.prefix}{name}" for name in given]
                found = f"both {' and '.join(keys)}"
                error = UserError(keys[0], f"one of {', '.join(names)}", found, "remove one")
                # every variant looks at a layer that they share
                if str(error) not in map(str, self.errors):
                    self.errors.append(error)
            values = layer.values
            for name in given:
                winner = winner or (name, f"{layer.prefix}{name}")
                if name != winner[0]:
                    values = {key: value for key, value in values.items() if key != name}
                    if not layer.prefix.startswith(SILENT):
                        self.shadowed.append(Shadow(winner[1], f"{layer.prefix}{name}"))
            kept.insert(0, Layer(layer.prefix, values))
        return kept

    def _shared(self, section: str) -> list[Layer]:
        """The layers of a section that all variants share."""
        layers, start = [self.top.at(DEFAULTS, section)], f"{section}."
        for layer in (self.preset, self.top):
            named = [preset for other in PRESET_SECTIONS for preset in self._named(layer, other)]
            for preset in named:  # each may set keys such as data.image_size
                keys = [key for key in preset.values if key.startswith(start)]
                values = {key.removeprefix(start): preset.values[key] for key in keys}
                layers.append(Layer(f"{preset.prefix}{start}", values))
            layers += [*self._named(layer, section), layer.at(section)]
        return layers

    def _variant(self, name: str, section: str) -> list[Layer]:
        """The layers of a section of one variant."""
        under_preset, preset_own, study, own = self._single(name)
        lists = study.at("loss").values.keys() & {"weights", "preset"}
        weights = dict.fromkeys(LossWeights.model_fields, 0.0) if lists else {}
        unlisted = Layer(f"{UNLISTED}.", {"loss": {"weights": weights}})
        lower = self.top.at(DEFAULTS), self.preset, under_preset, preset_own, self.top
        return [
            found
            for layer in (*lower, unlisted, study, own)
            for found in (*self._named(layer, section), layer.at(section))
        ]

    def _single(self, name: str) -> tuple[Layer, Layer, Layer, Layer]:
        """What is set for one variant alone: twice under the preset, by its study, by itself."""
        study = self.studies.get(name, Layer("", {}))
        under_preset = study.at("presets", self.preset_name)
        return under_preset, self.preset.at("variants", name), study, self.top.at("variants", name)

    def demands(self) -> list[Demand]:
        """Of the section presets that a variant or its study names."""
        return [
            Demand(f"{layer.prefix}{section}.preset", layer.values[section]["preset"], key, value)
            for name in self.trained
            for layer in self._single(name)
            for section in PRESET_SECTIONS
            for preset in self._named(layer, section)
            for key, value in preset.values.items()
            if "." in key
        ]

    def _named(self, layer: Layer, section: str) -> list[Layer]:
        """The section preset that the section of `layer` names, if it names one."""
        own = layer.at(section)
        name = own.values.get("preset")
        if name is None:
            return []
        presets = self.top.at("section_presets", section)
        expected = f"the name of one of section_presets.{section}"
        values = chosen(f"{own.prefix}preset", name, presets.values, expected)
        return [Layer(f"{presets.prefix}{name}.", values or {})]


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
