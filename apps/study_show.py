"""What studies are: their settings, what they claim, and the commands that run them.

sharpvae study show s001-fixed
sharpvae study show s000-original s003-composite
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from apps import command
from apps.study import WIDTH, known, say_how_to_run
from sharpvae.config.names import STUDIES, STUDY_TEXT, place
from sharpvae.core.config import flatten, text
from sharpvae.core.console import exit_code


def parser() -> argparse.ArgumentParser:
    """What `sharpvae study show` takes."""
    made = command.parser("study show", __doc__)
    made.add_argument("studies", nargs="+", metavar="study", help="names, as in the list")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the action; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: serve(options.studies))


def serve(names: Sequence[str]) -> None:
    """Describe the studies `names`; UserError for a wrong name or a broken file."""
    studies = known()
    command.check(names, studies, STUDIES, "the name of one of its files")
    for name in names:
        describe(name, studies[name])


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
    say_how_to_run(name)
