"""The systems in studies/: what they are, what they claim, and how to run one.

python -m apps.study               all of them
python -m apps.study s001-fixed    one, with its settings and the command that runs it
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from apps import command
from sharpvae.config.names import STUDIES, STUDY_TEXT, Studies, place
from sharpvae.core.config import flatten, text
from sharpvae.core.errors import UserError, nearest

WIDTH = 100  # columns where there is no terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; the exit code is 1 after a mistake that the user can mend."""
    parser = command.parser("apps.study", __doc__)
    parser.add_argument("studies", nargs="*", metavar="study", help="none: list them all")
    options = parser.parse_args(arguments)
    return command.exit_code(lambda: serve(options.studies))


def serve(names: Sequence[str]) -> None:
    """Describe the studies `names`, or list all.

    Raises:
        UserError: a name that does not exist, or a file that is no YAML.
    """
    studies = Studies(Path(STUDIES))
    if not studies:
        raise UserError(
            STUDIES,
            "the folder of the studies",
            "nothing there",
            "run from the top of the repository",
        )
    console = command.console(WIDTH)
    for name in names:
        if name not in studies:
            raise UserError(
                STUDIES, "the name of one of its files", repr(name), nearest(name, studies)
            )
    if not names:
        catalogue(console, studies)
    for name in names:
        describe(console, name, studies[name])


def catalogue(console: Console, studies: Mapping[str, Mapping[str, Any]]) -> None:
    """Print every study in a line."""
    table = Table("study", "document: what it is", box=None, pad_edge=False, header_style="bold")
    for name, study in studies.items():
        table.add_row(name, study.get("title", ""))
    console.print(table, markup=False)
    console.print("\none of them, and how to run it: python -m apps.study <study>")


def describe(console: Console, name: str, study: Mapping[str, Any]) -> None:
    """Print one study, its settings, and the command that adds it to the next run."""
    console.print(f"{name}  {study.get('title', '')}", style="bold", markup=False, highlight=False)
    console.print(" ".join(study.get("about", "").split()), markup=False, highlight=False)
    for claim in study.get("claims", ()):
        console.print(f"  claim: {claim}", markup=False, highlight=False)
    table = Table("setting", "value", box=None, pad_edge=False, header_style="bold")
    settings = {key: value for key, value in study.items() if key not in STUDY_TEXT}
    for key, value in flatten(settings).items():
        table.add_row(key, text(value))
    console.print(table, markup=False)
    console.print(
        f"from {place(name)}; the rest is as params.yaml says. Beside the variants there:"
    )
    console.print(
        f"  dvc exp run -S '+variants.{name}.study={name}'\n", markup=False, soft_wrap=True
    )


if __name__ == "__main__":
    sys.exit(main())
