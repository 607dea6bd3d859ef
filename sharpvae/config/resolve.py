"""params.yaml -> one resolved configuration: preset < shared section < variant.

A preset is the lowest layer, so that `-S train.epochs=5` always takes effect; `null` inherits.
Each resolved value remembers which layer it came from, so that an error can name the line to mend
and the effective table can say who decided.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from sharpvae.config.schema import (
    SECTIONS,
    SHARED_SECTIONS,
    VARIANT_SECTIONS,
    Experiment,
    Section,
    is_plain_name,
    nested_section,
)
from sharpvae.config.validation import describe
from sharpvae.config.yaml_file import read_params
from sharpvae.errors import UserError, UserErrors, nearest

TOP_LEVEL = ("preset", "seeds", "device", *SECTIONS, "variants", "presets")


@dataclass(frozen=True)
class Layer:
    """One source of values: `prefix` is where it stands in params.yaml."""

    prefix: str
    values: dict[str, Any]


class Shadow(NamedTuple):
    """One value that has no effect, because a higher layer says otherwise."""

    winner: str
    value: Any
    loser: str
    lost: Any


@dataclass(frozen=True)
class Resolved:
    """A resolved experiment, where each value came from, and what was shadowed.

    Attributes:
        experiment: the validated configuration.
        sources: resolved dotted key -> dotted key in params.yaml that decided it. Keys of a
            variant read `variants.<name>.<section>.<key>`.
        shadowed: every explicit value that a higher layer overrides with another.
    """

    experiment: Experiment
    sources: dict[str, str]
    shadowed: list[Shadow] = field(default_factory=list)


def resolve_file(path: Path) -> Resolved:
    """Read and resolve params.yaml at `path`; see `resolve`."""
    return resolve(read_params(path))


def resolve(params: dict[str, Any]) -> Resolved:
    """Merge the layers of `params` and validate the outcome.

    Raises:
        UserError: with every mistake found, each naming its dotted key in params.yaml.
    """
    errors = _unknown_keys(params)
    if errors:
        raise UserErrors(errors)
    preset = _chosen_preset(params)
    sources: dict[str, str] = {key: key for key in ("preset", "seeds", "device")}
    shadowed: list[Shadow] = []
    merged: dict[str, Any] = {key: params.get(key) for key in ("preset", "seeds", "device")}
    for section in SHARED_SECTIONS:
        layers = [_layer(preset, section), _layer(Layer("", params), section)]
        merged[section] = _merge(section, layers, SECTIONS[section], sources, shadowed)
    merged["variants"] = {}
    for name in params.get("variants") or {}:
        merged["variants"][name] = {
            section: _merge(
                f"variants.{name}.{section}",
                _variant_layers(params, preset, name, section),
                SECTIONS[section],
                sources,
                shadowed,
            )
            for section in VARIANT_SECTIONS
        }
    try:
        experiment = Experiment.model_validate(merged)
    except ValidationError as error:
        raise UserErrors([describe(item, sources) for item in error.errors()]) from None
    return Resolved(experiment, sources, shadowed)


def _variant_layers(params: dict[str, Any], preset: Layer, name: str, section: str) -> list[Layer]:
    """Lowest first: preset, the preset's word on this variant, shared, the variant itself."""
    shared = Layer("", params)
    return [
        _layer(preset, section),
        _layer(_layer(_layer(preset, "variants"), name), section),
        _layer(shared, section),
        _layer(_layer(_layer(shared, "variants"), name), section),
    ]


def _layer(layer: Layer, key: str) -> Layer:
    prefix = f"{layer.prefix}.{key}" if layer.prefix else key
    return Layer(prefix, layer.values.get(key) or {})


def _merge(
    path: str,
    layers: list[Layer],
    section: type[Section],
    sources: dict[str, str],
    shadowed: list[Shadow],
) -> dict[str, Any]:
    """The highest layer that is not null decides each key; nested sections merge key by key."""
    merged: dict[str, Any] = {}
    for key in section.model_fields:
        nested = nested_section(section, key)
        if nested is not None:
            deeper = [_layer(layer, key) for layer in layers]
            merged[key] = _merge(f"{path}.{key}", deeper, nested, sources, shadowed)
            continue
        given = [layer for layer in layers if layer.values.get(key) is not None]
        merged[key] = given[-1].values[key] if given else None
        sources[f"{path}.{key}"] = f"{given[-1].prefix}.{key}" if given else f"{path}.{key}"
        shadowed.extend(
            Shadow(
                f"{given[-1].prefix}.{key}", merged[key], f"{lower.prefix}.{key}", lower.values[key]
            )
            for lower in given[:-1]
            if lower.values[key] != merged[key]
        )
    return merged


def _chosen_preset(params: dict[str, Any]) -> Layer:
    name, presets = params.get("preset"), params.get("presets") or {}
    if name not in presets:
        raise UserError(
            "preset",
            "the name of one of the presets in params.yaml",
            repr(name),
            nearest(str(name), presets),
        )
    return Layer(f"presets.{name}", presets[name] or {})


def _unknown_keys(params: dict[str, Any]) -> list[UserError]:
    """Every key that the schema does not know, in every layer, the unused ones too."""
    errors = _wrong_names("", params, TOP_LEVEL)
    for section, schema in SECTIONS.items():
        errors += _section_keys(section, params.get(section), schema)
    errors += _variant_keys("variants", params.get("variants"))
    presets = params.get("presets")
    if not isinstance(presets, dict):
        return [*errors, UserError("presets", "a mapping of presets", _shown(presets))]
    for name, preset in presets.items():
        if preset is not None and not isinstance(preset, dict):
            errors.append(UserError(f"presets.{name}", "a mapping of sections", _shown(preset)))
            continue
        errors += _wrong_names(f"presets.{name}.", preset or {}, [*SECTIONS, "variants"])
        for section, schema in SECTIONS.items():
            errors += _section_keys(
                f"presets.{name}.{section}", (preset or {}).get(section), schema
            )
        errors += _variant_keys(f"presets.{name}.variants", (preset or {}).get("variants", {}))
    return errors


def _variant_keys(path: str, variants: Any) -> list[UserError]:
    if not isinstance(variants, dict) or (path == "variants" and not variants):
        return [
            UserError(
                path,
                "a mapping with at least one variant, such as {original: {}}",
                _shown(variants),
            )
        ]
    errors = []
    for name, sections in variants.items():
        if not is_plain_name(name):
            errors.append(
                UserError(
                    f"{path}.{name}",
                    "a name of letters, digits, '-' and '_'",
                    repr(name),
                    "rename the variant",
                )
            )
        if sections is not None and not isinstance(sections, dict):
            errors.append(UserError(f"{path}.{name}", "a mapping of sections", _shown(sections)))
            continue
        for section, values in (sections or {}).items():
            if section in VARIANT_SECTIONS:
                schema = VARIANT_SECTIONS[section]
                errors += _section_keys(f"{path}.{name}.{section}", values, schema)
            elif section in TOP_LEVEL:
                errors.append(
                    UserError(
                        f"{path}.{name}.{section}",
                        f"one of {', '.join(VARIANT_SECTIONS)}",
                        f"'{section}', which all share, or their scores could not be compared",
                        f"set it at the top level: {section}",
                    )
                )
            else:
                errors += _wrong_names(f"{path}.{name}.", {section: values}, VARIANT_SECTIONS)
    return errors


def _section_keys(path: str, values: Any, section: type[Section]) -> list[UserError]:
    if values is None:
        return []
    if not isinstance(values, dict):
        return [UserError(path, "a section of keys", _shown(values))]
    errors = _wrong_names(f"{path}.", values, section.model_fields)
    for key in section.model_fields:
        nested = nested_section(section, key)
        if nested is not None:
            errors += _section_keys(f"{path}.{key}", values.get(key), nested)
    return errors


def _wrong_names(prefix: str, values: dict[str, Any], valid: Any) -> list[UserError]:
    where = f"a key of {prefix[:-1]}" if prefix else "a section of params.yaml"
    return [
        UserError(f"{prefix}{key}", where, f"unknown key '{key}'", nearest(str(key), valid))
        for key in values
        if key not in valid
    ]


def _shown(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"
