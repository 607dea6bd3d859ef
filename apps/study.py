"""The systems in studies/, and questions about them: what helps, which claims hold.

sharpvae study                     list them
sharpvae study show s001-fixed     one, with its settings and the command that runs it
sharpvae study ablation            which change from one variant to another brings what
sharpvae study claims              which claims of the literature hold
sharpvae study new mine            write studies/mine.yaml, to be filled in
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from apps import command
from apps.command import Command
from sharpvae.config.names import STUDIES, Studies
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError

WIDTH = 100  # columns where there is no terminal
ACTIONS = {
    "show": Command("apps.study_show", "their settings, claims, and the command that runs them"),
    "ablation": Command(
        "apps.study_ablation", "which change from one variant to another brings what"
    ),
    "claims": Command("apps.study_claims", "which claims of the literature hold, by measurement"),
    "new": Command(
        "apps.study_new", "write the file of a study, an ablation or a claim, to be filled in"
    ),
}


def parser() -> argparse.ArgumentParser:
    """What `sharpvae study` without an action takes."""
    made = command.parser("study", command.overview(__doc__, "actions", ACTIONS))
    made.usage = "sharpvae study [<action> [argument ...]]"
    made.epilog = "All about one action: sharpvae study <action> --help"
    return made


def main(arguments: Sequence[str]) -> int:
    """Run an action, or list the studies; the exit code is 1 after a mistake that can be mended."""
    code = command.dispatch("sharpvae study", ACTIONS, arguments)
    if code is not None:
        return code
    parser().parse_args(arguments)
    return exit_code(list_all)


def list_all() -> None:
    """Print a line for each study."""
    table = command.table("study", "document: what it is")
    for name, study in known().items():
        table.add_row(name, study.get("title", ""))
    command.say(WIDTH, table, "\none of them, and how to run it: sharpvae study show <study>")


def known() -> Studies:
    """The studies of the repository; UserError where there are none."""
    studies = Studies(Path(STUDIES))
    if not studies:
        raise UserError(
            STUDIES, "the folder of the studies", "nothing there",
            "run from the top of the repository",
        )  # fmt: skip
    return studies


def say_how_to_run(name: str) -> None:
    """Print the command that adds the study `name` to the next run."""
    command.say(WIDTH, f"  dvc exp run -S '++variants.{name}.study={name}'\n", wrap=False)
