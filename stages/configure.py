"""params.yaml -> configs/: resolve preset, shared sections and variants, strictly."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sharpvae.config.experiment import stage_files
from sharpvae.config.resolve import Resolved, resolve_file
from sharpvae.config.rules import check
from sharpvae.core.config import flatten, text
from sharpvae.core.console import run
from sharpvae.core.files import fresh_directory, write_json

PARAMS, CONFIGS = Path("params.yaml"), Path("configs")


def main() -> None:
    """Resolve, check, write; on a mistake configs/ stays as it was."""
    resolved = resolve_file(PARAMS)
    check(resolved)
    with fresh_directory(CONFIGS) as directory:
        for name, stage in stage_files(resolved.experiment).items():
            write_json(directory / name, stage.model_dump())
    show(resolved)


def show(resolved: Resolved) -> None:
    """Print what is in effect: what the variants share, then where they differ, then shadows."""
    experiment = resolved.experiment.model_dump()
    variants = {name: flatten(values) for name, values in experiment.pop("variants").items()}
    console = Console()
    shared = Table("key", "value", title="shared by all variants", title_justify="left")
    for key, value in flatten(experiment).items():
        shared.add_row(key, text(value))
    differing = Table("key", *variants, title="by variant", title_justify="left")
    for key in next(iter(variants.values())):
        values = [text(variant[key]) for variant in variants.values()]
        if len(set(values)) == 1:
            shared.add_row(key, values[0])
        else:
            differing.add_row(key, *values)
    console.print(shared)
    if differing.row_count:
        console.print(differing)
    for sentence in shadows(resolved):
        console.print(sentence, markup=False, highlight=False)


def shadows(resolved: Resolved) -> list[str]:
    """One sentence for each layer above others: which of its keys leave lower ones unheard."""
    groups: dict[str, dict[str, None]] = {}
    for shadow in resolved.shadowed:
        layer, key = layer_and_key(shadow.winner)
        groups.setdefault(layer, {})[key] = None
    return [
        f"{layer} has the last word, whatever stands further down, on {', '.join(keys)}"
        for layer, keys in groups.items()
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


if __name__ == "__main__":
    run(main, sys.argv)
