"""The systems in studies/: what they are, what they claim, and how to run one.

python -m apps.study               all of them
python -m apps.study s001-fixed    one, with its settings and the command that runs it
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from apps import command
from sharpvae.config.names import STUDIES, STUDY_TEXT, Studies, place
from sharpvae.core.config import flatten, text
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError

WIDTH = 100  # columns where there is no terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; the exit code is 1 after a mistake that the user can mend."""
    parser = command.parser("apps.study", __doc__)
    parser.add_argument("studies", nargs="*", metavar="study", help="none: list them all")
    options = parser.parse_args(arguments)
    return exit_code(lambda: serve(options.studies))


def serve(names: Sequence[str]) -> None:
    """Describe the studies `names`, or list all; UserError for a wrong name or a broken file."""
    studies = Studies(Path(STUDIES))
    if not studies:
        raise UserError(
            STUDIES, "the folder of the studies", "nothing there",
            "run from the top of the repository",
        )  # fmt: skip
    command.check(names, studies, STUDIES, "the name of one of its files")
    for name in names:
        describe(name, studies[name])
    if not names:
        table = command.table("study", "document: what it is")
        for name, study in studies.items():
            table.add_row(name, study.get("title", ""))
        command.say(WIDTH, table, "\none of them, and how to run it: python -m apps.study <study>")


def describe(name: str, study: Mapping[str, Any]) -> None:
    """Print one study, its settings, and the command that adds it to the next run."""
    table = command.table("setting", "value")
    for key, value in flatten({k: v for k, v in study.items() if k not in STUDY_TEXT}).items():
        table.add_row(key, text(value))
    command.say(
        WIDTH,
        Text(f"{name}  {study.get('title', '')}", style="bold"),
        " ".join(study.get("about", "").split()),
        *(f"  claim: {claim}" for claim in study.get("claims", ())),
        table,
        f"from {place(name)}; the rest is as params.yaml says. Beside the variants there:",
    )
    command.say(WIDTH, f"  dvc exp run -S '++variants.{name}.study={name}'\n", wrap=False)


if __name__ == "__main__":
    sys.exit(main())
