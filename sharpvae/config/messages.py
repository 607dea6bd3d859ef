"""Pydantic's findings in the project's own words: dotted key, expected, found, what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sharpvae.core.errors import UserError, nearest

_EXPECTED = {
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping",
    "finite_number": "a finite number",
}
_LONGEST = 200  # characters of what was found that a message shows
_RANGES = {  # type of the finding -> sign, key of the limit in its context
    "greater_than": (">", "gt"),
    "greater_than_equal": (">=", "ge"),
    "less_than": ("<", "lt"),
    "less_than_equal": ("<=", "le"),
}


def describe(finding: Any, sources: dict[str, str]) -> UserError:
    """Turn one pydantic finding (an entry of `ValidationError.errors()`) into a UserError.

    Args:
        finding: the entry; its `loc` is the path in the resolved configuration.
        sources: resolved dotted key -> dotted key in params.yaml.
    """
    dotted, index = _known_prefix(finding["loc"], sources)
    where = sources.get(dotted, dotted) + index
    if finding["input"] is None:
        found = "null in the variant, in the shared section and in the preset"
        fix = f"set {dotted} or the shared key of the same name"
        return UserError(where, "a value", found, fix)
    found = f"{_cut(repr(finding['input']))} ({type(finding['input']).__name__})"
    if isinstance(finding["input"], dict) and finding["type"] == "value_error":  # of a section
        plain = {k: v for k, v in finding["input"].items() if not isinstance(v, dict)}
        found = ", ".join(f"{key} {value}" for key, value in plain.items()) or "none"
        keys = [source for key, source in sources.items() if key.startswith(f"{dotted}.")]
        places = {source.rpartition(".")[0] for source in keys}
        where = places.pop() if len(places) == 1 else dotted
    fix = ""
    if finding["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", finding["ctx"]["expected"])
        fix = nearest(str(finding["input"]), valid) if valid else ""
    return UserError(where, _expected(finding), found, fix)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _known_prefix(location: tuple[Any, ...], sources: dict[str, str]) -> tuple[str, str]:
    """The dotted key of `location`, and the index within it where the key holds a list.

    Beyond the key pydantic also names the arm of a union that it tried; that is left out.
    """
    for length in range(len(location), 0, -1):
        dotted = ".".join(map(str, location[:length]))
        if dotted in sources:
            rest = [f"[{part}]" for part in location[length:] if isinstance(part, int)]
            return dotted, "".join(rest)
    return ".".join(map(str, location)), ""


def _expected(finding: Any) -> str:
    kind, context = finding["type"], finding.get("ctx", {})
    if kind in _RANGES:
        sign, limit = _RANGES[kind]
        return f"a number {sign} {context[limit]:.10g}"
    if kind == "literal_error":
        return f"one of {context['expected']}"
    if kind == "too_short":
        return f"at least {context['min_length']} entry"
    if kind == "too_long":
        return f"at most {context['max_length']} entries"
    if kind == "value_error":
        return str(context["error"])
    return _EXPECTED.get(kind, finding["msg"])


def describe_in(path: Path, finding: Any, keys: Iterable[str]) -> UserError:
    """The same of a finding in a file that holds one section, of these keys."""
    where = [str(key) for key in finding["loc"]]
    fix = nearest(where[0], keys) if finding["type"] == "extra_forbidden" else ""
    found = "nothing" if finding["type"] == "missing" else repr(finding["input"])
    return UserError(f"{path}: {'.'.join(where)}", finding["msg"], found, fix)
