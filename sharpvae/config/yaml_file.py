"""Reading params.yaml as DVC reads it: YAML 1.2 numbers, and no key twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from sharpvae.errors import UserError


class _Loader(yaml.SafeLoader):
    """SafeLoader that takes `1e-4` for a number and refuses a repeated key."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, str | int) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' stands twice in one section", key_node.start_mark
                )
            if isinstance(key, str | int):
                seen.add(key)
        return super().construct_mapping(node, deep)


# Its own copy: the attribute is shared with every other SafeLoader in the process.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:float"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"""^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$
            |^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$""",
        re.VERBOSE,
    ),
    list("-+0123456789."),
)


def read_params(path: Path) -> dict[str, Any]:
    """Read `path` as one YAML mapping.

    Raises:
        UserError: the file is missing, is not YAML, repeats a key, or is not a mapping.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except FileNotFoundError:
        raise UserError(
            str(path),
            "the file with every knob",
            "no such file",
            "run from the top of the repository, or restore it: git checkout params.yaml",
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            str(path), "valid YAML", " ".join(str(error).split()), "mend that line"
        ) from None
    if not isinstance(content, dict):
        raise UserError(str(path), "a mapping of sections", type(content).__name__)
    return content
