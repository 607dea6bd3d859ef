"""studies/<name>.yaml: one system of the literature, as a difference from the shared sections."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sharpvae.config.yaml_file import read_params
from sharpvae.errors import UserError, nearest

FOLDER = "studies"


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
    return f"{FOLDER}/{name}.yaml"


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
                f"the name of a file in {FOLDER}/",
                repr(name),
                nearest(str(name), studies),
            )
        found[variant] = studies[name]
    return found
