"""params.yaml -> configs/: resolve preset, shared sections and variants, strictly."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.table import Column, Table

from sharpvae.config.experiment import stage_files
from sharpvae.config.resolve import Resolved, resolve_file, shadows
from sharpvae.config.rules import check
from sharpvae.core.config import flatten, text
from sharpvae.core.console import run, terminal
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
    experiment = resolved.experiment.model_dump(exclude={"order", "tune"})
    given = experiment.pop("given")
    variants = {name: flatten(values) for name, values in experiment.pop("variants").items()}
    console = terminal()
    heads = map(_folding, ("key", "value"))
    shared = Table(*heads, title="shared by all variants", title_justify="left")
    for key, value in flatten(experiment).items():
        shared.add_row(key, text(value))
    differing = Table(*map(_folding, ("key", *variants)), title="by variant", title_justify="left")
    for key in {key: None for variant in variants.values() for key in variant}:
        values = [text(variant.get(key, "-")) for variant in variants.values()]
        if len(set(values)) == 1:
            shared.add_row(key, values[0])
        else:
            differing.add_row(key, *values)
    console.print(shared)
    if differing.row_count:
        console.print(differing)
    for name, own in given.items():
        console.print(f"{name}: images made elsewhere, {own['samples']}", markup=False)
    for sentence in shadows(resolved):
        console.print(sentence, markup=False, highlight=False)


def _folding(head: str) -> Column:
    """A column whose keys and values go on in the next line: cut ones would read alike."""
    return Column(head, overflow="fold")


if __name__ == "__main__":
    run(main, sys.argv)
