"""Layers of settings, the lowest first, merged key by key; each value remembers its layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sharpvae.config.section import Section, nested_section

DEFAULTS = "defaults"  # the lowest layer, which everything else is there to override
SILENT = (DEFAULTS,)  # what stands there may be overridden without a word


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
    """What the lower of the layers that have `key` say in vain."""
    for lower in given[:-1]:
        if lower.values[key] != given[-1].values[key] and not lower.prefix.startswith(SILENT):
            winner, loser = _dotted(given[-1].prefix, key), _dotted(lower.prefix, key)
            yield Shadow(winner, given[-1].values[key], loser, lower.values[key])


def _dotted(prefix: str, *keys: str) -> str:
    own = not prefix or prefix.endswith(" ")  # a file's name stands before its keys
    return prefix + ".".join(keys) if own else ".".join([prefix, *keys])
