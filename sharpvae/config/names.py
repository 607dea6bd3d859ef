"""params.yaml read as DVC reads it, and each name in it checked against the schema."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from sharpvae.config.experiment import (
    BEFORE_SECTIONS,
    PRESET_SECTIONS,
    SECTIONS,
    SHARED_SECTIONS,
    VARIANT_SECTIONS,
)
from sharpvae.core.config import Section, is_given, nested_section
from sharpvae.core.errors import UserError, nearest
from sharpvae.core.files import NAME as FORM

STUDIES = "studies"  # the folder with one file a study, beside params.yaml
ABLATIONS, CLAIMS = "ablations", "claims"  # likewise, a question each; see `sharpvae.proof`
PRESETS = "presets"  # the folder with one file for each of the following, beside params.yaml
LAYERS = ("defaults", "presets", "section_presets")
SINGLE = ("preset", "seeds", "device", "threads")
_LARGEST = 2**63 - 1  # of integers
_SHOWN = 40  # characters of a text that a message shows
_MOST_VALUES, _DEEPEST = 100_000, 50  # of a file
RESERVED = ("critic", "reference")  # folders of models/, beside those of the variants
TOP_LEVEL = (*SINGLE, *SECTIONS, "variants", *LAYERS)
BEFORE = "before"  # of a variant or a study: sections with which it is trained first
STUDY_TEXT = ("title", "about", "claims")
NAME = "a name of up to 100 letters, digits, '-' and '_'"  # as messages say what `is_name` wants
_BROUGHT = [  # what a section preset may set in a section that all variants share
    f"{name}.{key}" for name, section in SHARED_SECTIONS.items() for key in section.model_fields
]


def read_params(path: Path) -> dict[str, Any]:
    """One YAML mapping, read by the parser that DVC uses for params.yaml.

    Raises:
        UserError: the file is missing, cannot be read, is not YAML, repeats a key, is not a
            mapping, or is larger than any experiment.
    """
    try:
        content = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fix = f"run from the top of the repository, or restore it: git checkout {path.name}"
        raise UserError(str(path), "a file of settings", "no such file", fix) from None
    except OSError as error:
        expected = "a file that can be read"
        raise UserError(str(path), expected, error.strerror or str(error)) from None
    except Exception as error:  # ruamel raises whatever comes on odd values, such as 2024-99-99
        deep = "too many lists or mappings in one another"
        found = deep if isinstance(error, RecursionError) else " ".join(str(error).split())
        raise UserError(str(path), "valid YAML", found, "mend that line") from None
    if not isinstance(content, dict):
        raise UserError(str(path), "a mapping of sections", type(content).__name__)
    require_modest(path, content)
    return content


def require_modest(path: Path, content: Any) -> None:
    """Refuse what would take for ever to look through, or cannot be printed or written.

    Aliases may name a list within itself, or double it a hundred times in as many lines; an escape
    may stand for half a character, or for one that no path has.

    Raises:
        UserError: for the first such value.
    """
    waiting, seen = [(content, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        seen += 1
        if isinstance(value, int) and abs(value) > _LARGEST:
            fix = "correct it"
            raise UserError(str(path), f"integers of at most {_LARGEST}", "a larger one", fix)
        if isinstance(value, str) and not _is_text(value):
            expected, fix = "text that a file can hold, and a path", "remove its escapes"
            raise UserError(str(path), expected, repr(value[:_SHOWN]), fix)
        if seen > _MOST_VALUES or depth > _DEEPEST:
            raise UserError(
                str(path), f"at most {_MOST_VALUES} values, at most {_DEEPEST} in one another",
                "more than that, aliases included", "write less, or spell them out",
            )  # fmt: skip
        if isinstance(value, Mapping):
            waiting += [(part, depth + 1) for pair in value.items() for part in pair]
        elif isinstance(value, list | tuple | set):
            waiting += [(part, depth + 1) for part in value]


def _is_text(value: str) -> bool:
    """Whether UTF-8 can write it, and it has no zero byte."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def read_settings(path: Path) -> dict[str, Any]:
    """params.yaml at `path`, and beside its sections the layers of presets/.

    Raises:
        UserError: as `read_params`; or params.yaml holds a layer itself.
    """
    params = read_params(path)
    for name in LAYERS:
        if name in params:
            fix = f"move it to {PRESETS}/{name}.yaml"
            raise UserError(name, "sections and variants", f"a layer in {path}", fix)
    folder = path.parent / PRESETS
    return params | {name: read_params(folder / f"{name}.yaml") for name in LAYERS}


class Studies(Mapping[str, dict[str, Any]]):
    """The studies of a folder by name, each read on access; UserError where it is broken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, name: str) -> dict[str, Any]:
        if name not in list(self):
            raise KeyError(name)
        return read_params(self.folder / f"{name}.yaml")

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(path.stem for path in self.folder.glob("*.yaml")))

    def __len__(self) -> int:
        return len(list(iter(self)))


def is_name(name: Any) -> bool:
    """Whether a variant can be called so: it is part of a path, and of the name of a DVC stage."""
    return isinstance(name, str) and bool(re.fullmatch(FORM, name))


def place(name: str) -> str:
    """The file of a study, as messages name it."""
    return f"{STUDIES}/{name}.yaml"


def chosen(where: str, name: Any, valid: Mapping[str, Any], expected: str) -> Any:
    """valid[name]; UserError where it has no such name, which the dotted key `where` gives."""
    if not isinstance(name, str) or name not in valid:
        raise UserError(where, expected, repr(name), nearest(str(name), valid))
    return valid[name]


def named_studies(
    params: Mapping[str, Any], studies: Mapping[str, dict[str, Any]]
) -> dict[str, tuple[str, dict[str, Any]]]:
    """Variant -> file and content of the study it names; UserError where there is none such."""
    variants, expected = params.get("variants"), f"the name of a file in {STUDIES}/"
    named = {}
    for variant, sections in variants.items() if isinstance(variants, dict) else ():
        name = sections.get("study") if isinstance(sections, dict) else None
        if name is not None:
            content = chosen(f"variants.{variant}.study", name, studies, expected)
            named[variant] = place(name), content
    return named


def unknown_keys(
    params: Mapping[str, Any], studies: Iterable[tuple[str, Mapping[str, Any]]]
) -> list[UserError]:
    """A finding for each name in `params`, and in `studies` (file, content), not in the schema."""
    check = _Names()
    check.names("", params, TOP_LEVEL)
    check.sections("", params, SECTIONS)
    defaults = check.mapping("defaults", params.get("defaults"), "a mapping of sections")
    check.names("defaults.", defaults, SECTIONS)  # neither presets nor variants
    for name, schema in SECTIONS.items():
        check.section(f"defaults.{name}", defaults.get(name), schema)
    check.variants("variants", params.get("variants"), ["study", "samples"])
    presets = check.presets(params.get("presets"))
    check.section_presets(params.get("section_presets"))
    for file, study in studies:
        check.study(file, study, presets)
    return check.errors


class _Names:
    """Collects what is wrong with names: `errors`."""

    def __init__(self) -> None:
        self.errors: list[UserError] = []

    def add(self, where: str, expected: str, found: str, fix: str = "") -> None:
        """Add a finding."""
        self.errors.append(UserError(where, expected, found, fix))

    def mapping(
        self, path: str, values: Any, expected: str, required: bool = False
    ) -> dict[str, Any]:
        """`values`, or an empty mapping where they are null or wrong."""
        if isinstance(values, dict):
            return values
        if required or values is not None:
            self.add(path, expected, _shown(values))
        return {}

    def names(self, prefix: str, values: Mapping[str, Any], valid: Iterable[str]) -> None:
        """Each of the keys of `values` is `valid`."""
        names = list(valid)
        expected = f"a key of {prefix.rstrip('.: ')}" if prefix else "a section of params.yaml"
        for key in values:
            if key not in names:
                found = f"unknown key '{key}'"
                self.add(f"{prefix}{key}" or "''", expected, found, nearest(str(key), names))

    def section(
        self, path: str, values: Any, schema: type[Section], extra: Iterable[str] = ()
    ) -> None:
        """The keys of a section and of those within it."""
        section = self.mapping(path, values, "a section of keys")
        self.names(f"{path}.", section, [*schema.model_fields, *extra])
        for key in schema.model_fields:
            nested = nested_section(schema, key)
            if nested is not None:
                self.section(f"{path}.{key}", section.get(key), nested)

    def sections(
        self, prefix: str, layer: Mapping[str, Any], schemas: Mapping[str, type[Section]]
    ) -> None:
        """The sections of a layer, some of which may name a section preset."""
        for name, schema in schemas.items():
            extra = ["preset"] if name in PRESET_SECTIONS else []
            self.section(f"{prefix}{name}", layer.get(name), schema, extra)

    def variants(self, path: str, variants: Any, extra: Iterable[str] = ()) -> None:
        """Variants, of which each may have the keys `extra`."""
        if not isinstance(variants, dict) or not variants:
            example = "a mapping with at least one variant, such as {original: {}}"
            self.add(path, example, _shown(variants))
            return
        if "samples" in extra and all(map(is_given, variants.values())):
            expected = "at least one that is trained, beside those that have samples"
            self.add(path, expected, "samples alone", "score them without it: sharpvae score")
        for name, given in variants.items():
            if not is_name(name):
                self.add(f"{path}.{name}", NAME, _shown(name), "rename the variant")
            elif name.lower() in RESERVED:
                taken = f"another name: models/{name.lower()} is that of a stage's network"
                self.add(f"{path}.{name}", taken, name, "rename the variant")
            prefix = f"{path}.{name}."
            variant = self.mapping(prefix[:-1], given, "a mapping of sections")
            if "samples" in extra and is_given(variant):
                self.samples(prefix, variant)
                continue
            self.sections(prefix, variant, VARIANT_SECTIONS)
            self.before(prefix, variant)
            shared = [key for key in variant if key in TOP_LEVEL and key not in VARIANT_SECTIONS]
            for key in shared:
                expected = f"one of {', '.join(VARIANT_SECTIONS)}"
                found = f"'{key}', which all share, or their scores could not be compared"
                fix = f"set it at the top level: {key}"
                self.add(f"{prefix}{key}" or "''", expected, found, fix)
            self.names(prefix, variant, [*VARIANT_SECTIONS, BEFORE, *extra, *shared])

    def before(self, prefix: str, values: Mapping[str, Any]) -> None:
        """What a variant or a study is trained with first."""
        first = self.mapping(f"{prefix}{BEFORE}", values.get(BEFORE), "a mapping of sections")
        self.names(f"{prefix}{BEFORE}.", first, BEFORE_SECTIONS)
        self.sections(f"{prefix}{BEFORE}.", first, BEFORE_SECTIONS)

    def samples(self, prefix: str, variant: Mapping[str, Any]) -> None:
        """A variant that is images made elsewhere, of which nothing else can be set."""
        if not isinstance(variant["samples"], str):
            self.add(f"{prefix}samples", "a path to images", _shown(variant["samples"]))
        for key, value in variant.items():
            if key != "samples" and value is not None:
                expected = f"nothing beside {prefix}samples, which are made elsewhere"
                self.add(f"{prefix}{key}" or "''", expected, "it is set", "remove one of the two")

    def presets(self, values: Any) -> dict[str, Any]:
        """Presets of sections and of single variants; returns them."""
        presets = self.mapping("presets", values, "a mapping of presets", required=True)
        for name, given in presets.items():
            path = f"presets.{name}"
            preset = self.mapping(path, given, "a mapping of sections")
            self.names(f"{path}.", preset, [*SECTIONS, "variants"])
            self.sections(f"{path}.", preset, SECTIONS)
            if preset.get("variants"):
                self.variants(f"{path}.variants", preset["variants"])
        return presets

    def section_presets(self, values: Any) -> None:
        """Presets of one section, which may set shared keys besides."""
        path, expected = "section_presets", f"a mapping of {', '.join(PRESET_SECTIONS)}"
        presets = self.mapping(path, values, expected, required=True)
        self.names(f"{path}.", presets, PRESET_SECTIONS)
        for section, schema in PRESET_SECTIONS.items():
            given = presets.get(section) or {}
            named = self.mapping(f"{path}.{section}", given, "a mapping of presets")
            for name, preset in named.items():
                self.section(f"{path}.{section}.{name}", preset, schema, _BROUGHT)

    def study(self, file: str, study: Mapping[str, Any], presets: Iterable[str]) -> None:
        """A study: its text, its settings, and those under each of `presets`."""
        self.names(f"{file}: ", study, [*STUDY_TEXT, *VARIANT_SECTIONS, BEFORE, "presets"])
        self.sections(f"{file}: ", study, VARIANT_SECTIONS)
        self.before(f"{file}: ", study)
        for key in STUDY_TEXT:
            kind, expected = (list, "a list of sentences") if key == "claims" else (str, "text")
            if not isinstance(study.get(key), kind):
                self.add(f"{file}: {key}", expected, _shown(study.get(key)))
        path = f"{file}: presets"
        own = self.mapping(path, study.get("presets") or {}, "a mapping of presets")
        self.names(f"{path}.", own, presets)
        for name, given in own.items():
            sections = self.mapping(f"{path}.{name}", given, "a mapping of sections", required=True)
            self.names(f"{path}.{name}.", sections, VARIANT_SECTIONS)
            self.sections(f"{path}.{name}.", sections, VARIANT_SECTIONS)


def _shown(value: Any) -> str:
    return f"{value!r} ({type(value).__name__})"
