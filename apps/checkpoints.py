"""Trainings that were interrupted: what lies in .checkpoints, and removing what nobody needs.

sharpvae checkpoints                     all of them
sharpvae checkpoints --remove 3f2a       those whose directory begins so
sharpvae checkpoints --remove-all

A training resumes by itself, with the next `dvc repro` of the same settings, data and code.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from apps import command
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import amount, try_lock, unlock
from sharpvae.training.checkpoints import FOLDER, read_ticket

WIDTH = 100  # columns where there is no terminal


def parser() -> argparse.ArgumentParser:
    """What `sharpvae checkpoints` takes."""
    made = command.parser("checkpoints", __doc__)
    choice = made.add_mutually_exclusive_group()
    choice.add_argument("--remove", metavar="beginning", help="of the name of a directory")
    choice.add_argument("--remove-all", action="store_true")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    if options.remove is None and not options.remove_all:
        return exit_code(show)
    return exit_code(lambda: remove(options.remove or "", options.remove_all))


def directories() -> list[Path]:
    """Of all trainings that were interrupted or are running."""
    folder = Path(FOLDER)
    return sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []


def show() -> None:
    """Print a line for each."""
    table = command.table("directory", "variant", "seed", "update", "size", "last written")
    for path in directories():
        ticket = read_ticket(path)
        states = sorted(state for state in path.glob("*.pt") if state.is_file())
        updates = [int(state.name[:12]) for state in states if state.name[:12].isdigit()]
        age = time.time() - max(file.stat().st_mtime for file in [path, *states])
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        known = (ticket.variant, str(ticket.seed)) if ticket else ("?", "?")
        update = str(updates[-1]) if updates else "-"
        table.add_row(path.name[:12], *known, update, amount(size), ago(age))
    command.say(WIDTH, table if table.row_count else f"no interrupted training in {FOLDER}")


def ago(seconds: float) -> str:
    """A time past, in its largest unit."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return f"{seconds:.0f} seconds ago"


def remove(beginning: str, everything: bool = False) -> None:
    """Remove those whose name begins so, but none that is in use; UserError if there is none.

    All have an empty beginning in common, which counts where `everything` is asked for.
    """
    chosen = [path for path in directories() if path.name.startswith(beginning)]
    if not beginning and not everything:
        raise UserError(
            "--remove", "the beginning of a directory's name", "nothing",
            "say which, or remove all of them: sharpvae checkpoints --remove-all",
        )  # fmt: skip
    if not chosen:
        raise UserError(
            FOLDER, "a directory of checkpoints", f"none that begins with '{beginning}'",
            "see which there are: sharpvae checkpoints",
        )  # fmt: skip
    for path in chosen:
        lock = try_lock(path)
        if lock is None:
            print(f"{path} is in use: left alone")
            continue
        shutil.rmtree(path)
        unlock(lock)
        print(f"{path} removed")
