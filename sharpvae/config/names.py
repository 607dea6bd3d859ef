"""Reading params.yaml as DVC reads it: YAML 1.2 numbers, and no key twice."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from sharpvae.config.experiment import (
    PRESET_SECTIONS,
    SECTIONS,
    SHARED_SECTIONS,
    VARIANT_SECTIONS,
    is_plain_name,
)
from sharpvae.core.config import Section, nested_section
from sharpvae.core.errors import UserError, nearest

STUDIES = "studies"  # the folder with one file a study, beside params.yaml
PRESETS = "presets"  # the folder with one file for each of the following, beside params.yaml
LAYERS = ("defaults", "presets", "section_presets")


def read_params(path: Path) -> dict[str, Any]:
    """Read `path` as one YAML mapping, with the parser that DVC reads params.yaml with.

    Raises:
        UserError: the file is missing, is not YAML, repeats a key, or is not a mapping.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            str(path),
            "a file of settings",
            "no such file",
            f"run from the top of the repository, or restore it: git checkout {path.name}",
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            str(path), "valid YAML", " ".join(str(error).split()), "mend that line"
        ) from None
    if not isinstance(content, dict):
        raise UserError(str(path), "a mapping of sections", type(content).__name__)
    return content


def read_settings(path: Path) -> dict[str, Any]:
    """params.yaml at `path`, and beside its sections the layers that lie in presets/.

    Raises:
        UserError: as `read_params`; or params.yaml holds a layer itself.
    """
    params = read_params(path)
    folder = path.parent / PRESETS
    for name in LAYERS:
        if name in params:
            where = f"{PRESETS}/{name}.yaml"
            raise UserError(
                name, "sections and variants", f"a layer in {path}", f"move it to {where}"
            )
    return params | {name: read_params(folder / f"{name}.yaml") for name in LAYERS}


class Studies(Mapping[str, dict[str, Any]]):
    """The studies of a folder by name, each read when it is asked for.

    Raises:
        UserError: on reading a file that is no YAML mapping.
        KeyError: there is no study of that name.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> dict[str, Any]:
        if name not in set(self):
            raise KeyError(name)
        return read_params(self.folder / f"{name}.yaml")

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.yaml")))

    def __len__(self) -> int:
        return len(list(iter(self)))


def place(name: str) -> str:
    """How messages call the file of a study."""
    return f"{STUDIES}/{name}.yaml"


def named_studies(
    params: Mapping[str, Any], studies: Mapping[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Variant -> the study it names, for the variants that name one.

    Raises:
        UserError: a variant names a study that does not exist.
    """
    found = {}
    for variant, sections in (params.get("variants") or {}).items():
        name = sections.get("study") if isinstance(sections, dict) else None
        if name is None:
            continue
        if not isinstance(name, str) or name not in studies:
            raise UserError(
                f"variants.{variant}.study",
                f"the name of a file in {STUDIES}/",
                repr(name),
                nearest(str(name), studies),
            )
        found[variant] = studies[name]
    return found


SINGLE = ("preset", "seeds", "device")
TOP_LEVEL = (*SINGLE, *SECTIONS, "variants", *LAYERS)
STUDY_TEXT = ("title", "about", "claims")
_BROUGHT = [  # what a section preset may bring along for a section that all variants share
    f"{name}.{key}" for name, section in SHARED_SECTIONS.items() for key in section.model_fields
]


def unknown_keys(
    params: Mapping[str, Any], studies: Mapping[str, Mapping[str, Any]]
) -> list[UserError]:
    """A finding for each name that the schema does not know.

    Args:
        params: params.yaml.
        studies: variant -> the content of the study that it names.
    """
    errors = _wrong_names("", params, TOP_LEVEL)
    errors += _sections("", params, SECTIONS)
    errors += _defaults(params.get("defaults"))
    errors += _variants("variants", params.get("variants"), ["study"])
    errors += _presets(params.get("presets"))
    errors += _section_presets(params.get("section_presets"))
    for variant, study in studies.items():
        known = params.get("presets")
        file = place(params["variants"][variant]["study"])
        errors += _study(file, study, known if isinstance(known, dict) else {})
    return errors


def _defaults(defaults: Any) -> list[UserError]:
    """Sections and nothing else: what stands lowest names no preset, and no single variant."""
    if defaults is not None and not isinstance(defaults, dict):
        return [UserError("defaults", "a mapping of sections", _shown(defaults))]
    errors = _wrong_names("defaults.", defaults or {}, SECTIONS)
    for name, schema in SECTIONS.items():
        errors += _section(f"defaults.{name}", (defaults or {}).get(name), schema)
    return errors


def _presets(presets: Any) -> list[UserError]:
    if not isinstance(presets, dict):
        return [UserError("presets", "a mapping of presets", _shown(presets))]
    return [
        error for name, preset in presets.items() for error in _layer(f"presets.{name}", preset)
    ]


def _layer(path: str, layer: Any) -> list[UserError]:
    """Sections, and a word on single variants."""
    if layer is not None and not isinstance(layer, dict):
        return [UserError(path, "a mapping of sections", _shown(layer))]
    errors = _wrong_names(f"{path}.", layer or {}, [*SECTIONS, "variants"])
    errors += _sections(f"{path}.", layer or {}, SECTIONS)
    return errors + _variants(f"{path}.variants", (layer or {}).get("variants") or {})


def _section_presets(presets: Any) -> list[UserError]:
    path = "section_presets"
    if not isinstance(presets, dict):
        return [UserError(path, f"a mapping of {', '.join(PRESET_SECTIONS)}", _shown(presets))]
    errors = _wrong_names(f"{path}.", presets, PRESET_SECTIONS)
    for section, schema in PRESET_SECTIONS.items():
        named = presets.get(section) or {}
        if not isinstance(named, dict):
            errors.append(UserError(f"{path}.{section}", "a mapping of presets", _shown(named)))
            continue
        for name, values in named.items():
            errors += _section(f"{path}.{section}.{name}", values, schema, _BROUGHT)
    return errors


def _study(path: str, study: Mapping[str, Any], presets: Mapping[str, Any]) -> list[UserError]:
    errors = _wrong_names(f"{path}: ", study, [*STUDY_TEXT, *VARIANT_SECTIONS, "presets"])
    errors += _sections(f"{path}: ", study, VARIANT_SECTIONS)
    for key in STUDY_TEXT:
        kind = list if key == "claims" else str
        if not isinstance(study.get(key), kind):
            expected = "a list of sentences" if kind is list else "text"
            errors.append(UserError(f"{path}: {key}", expected, _shown(study.get(key))))
    own = study.get("presets") or {}
    if not isinstance(own, dict):
        return [*errors, UserError(f"{path}: presets", "a mapping of presets", _shown(own))]
    errors += _wrong_names(f"{path}: presets.", own, presets)
    for name, sections in own.items():
        if not isinstance(sections, dict):
            expected, found = "a mapping of sections", _shown(sections)
            errors.append(UserError(f"{path}: presets.{name}", expected, found))
            continue
        errors += _wrong_names(f"{path}: presets.{name}.", sections, VARIANT_SECTIONS)
        errors += _sections(f"{path}: presets.{name}.", sections, VARIANT_SECTIONS)
    return errors


def _variants(path: str, variants: Any, extra: Sequence[str] = ()) -> list[UserError]:
    if not isinstance(variants, dict) or (path == "variants" and not variants):
        example = "a mapping with at least one variant, such as {original: {}}"
        return [UserError(path, example, _shown(variants))]
    errors = []
    for name, sections in variants.items():
        if not is_plain_name(name):
            expected = "a name of letters, digits, '-' and '_'"
            errors.append(UserError(f"{path}.{name}", expected, repr(name), "rename the variant"))
        if sections is not None and not isinstance(sections, dict):
            errors.append(UserError(f"{path}.{name}", "a mapping of sections", _shown(sections)))
            continue
        errors += _variant(f"{path}.{name}", sections or {}, extra)
    return errors


def _variant(path: str, sections: Mapping[str, Any], extra: Sequence[str]) -> list[UserError]:
    errors = _sections(f"{path}.", sections, VARIANT_SECTIONS)
    shared = [key for key in sections if key in TOP_LEVEL and key not in VARIANT_SECTIONS]
    for key in shared:
        errors.append(
            UserError(
                f"{path}.{key}",
                f"one of {', '.join(VARIANT_SECTIONS)}",
                f"'{key}', which all share, or their scores could not be compared",
                f"set it at the top level: {key}",
            )
        )
    return errors + _wrong_names(f"{path}.", sections, [*VARIANT_SECTIONS, *extra, *shared])


def _sections(
    prefix: str, layer: Mapping[str, Any], sections: Mapping[str, type[Section]]
) -> list[UserError]:
    errors = []
    for name, schema in sections.items():
        extra = ["preset"] if name in PRESET_SECTIONS else []
        errors += _section(f"{prefix}{name}", layer.get(name), schema, extra)
    return errors


def _section(
    path: str, values: Any, section: type[Section], extra: Iterable[str] = ()
) -> list[UserError]:
    if values is None:
        return []
    if not isinstance(values, dict):
        return [UserError(path, "a section of keys", _shown(values))]
    errors = _wrong_names(f"{path}.", values, [*section.model_fields, *extra])
    for key in section.model_fields:
        nested = nested_section(section, key)
        if nested is not None:
            errors += _section(f"{path}.{key}", values.get(key), nested)
    return errors


def _wrong_names(prefix: str, values: Mapping[str, Any], valid: Iterable[str]) -> list[UserError]:
    names = list(valid)
    where = f"a key of {prefix.rstrip('.: ')}" if prefix else "a section of params.yaml"
    return [
        UserError(f"{prefix}{key}", where, f"unknown key '{key}'", nearest(str(key), names))
        for key in values
        if key not in names
    ]


def _shown(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"
