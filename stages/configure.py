"""params.yaml -> configs/: resolve preset, shared sections and variants, strictly."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from sharpvae.artefacts import fresh_directory, write_json
from sharpvae.config.dotted import flatten, text
from sharpvae.config.resolve import Resolved, resolve_file
from sharpvae.config.rules import check
from sharpvae.config.stage_files import stage_files
from sharpvae.datasets.catalogue import check_name
from sharpvae.datasets.labels import check_arithmetic, check_conditional
from sharpvae.datasets.steps import check_starts
from stages.console import run

PARAMS, CONFIGS = Path("params.yaml"), Path("configs")


def main() -> None:
    """Resolve, check, write; on a mistake configs/ stays as it was."""
    resolved = resolve_file(PARAMS)
    check_name(resolved.experiment.data.name)
    check(resolved)
    check_conditional(resolved)
    check_arithmetic(resolved)
    check_starts(resolved)
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
    groups: dict[str, list[str]] = {}
    for shadow in resolved.shadowed:
        key = common_end(shadow.winner, shadow.loser)
        layer = shadow.winner.removesuffix(key).rstrip(".: ") or "an explicit key"
        groups.setdefault(layer, []).append(key)
    return [
        f"{layer} has the last word, whatever stands further down, on "
        f"{', '.join(dict.fromkeys(keys))}"
        for layer, keys in groups.items()
    ]


def common_end(one: str, other: str) -> str:
    """The dotted parts in which two keys end alike."""
    parts = (reversed(re.split(r"\.|: ", key)) for key in (one, other))
    pairs = zip(*parts, strict=False)
    return ".".join(reversed([a for a, b in takewhile(lambda pair: pair[0] == pair[1], pairs)]))


if __name__ == "__main__":
    run("stages.configure", main)
