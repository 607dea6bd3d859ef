"""The command line and the tables of every command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from sharpvae.core.errors import UserError, nearest

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

RESUMABLE = "the next call resumes where this one stopped"
WRONG_USAGE = 2  # the exit code, as argparse has it


class Command(NamedTuple):
    """What a name on the command line stands for."""

    module: str  # whose `main(arguments)` returns the exit code; imported when asked for
    summary: str  # its line in the list


def dispatch(program: str, commands: Mapping[str, Command], arguments: Sequence[str]) -> int | None:
    """Run the one of `commands` that `arguments` begin with.

    Args:
        program: what stands before its name, for messages.

    Returns:
        its exit code; `WRONG_USAGE` where it has no such name; None where no name comes first.
    """
    if not arguments or arguments[0].startswith("-"):
        return None
    name = arguments[0]
    if name not in commands:
        known = nearest(name, commands)
        print(f"error: there is no '{program} {name}': {known}", file=sys.stderr)
        return WRONG_USAGE
    code: int = import_module(commands[name].module).main(arguments[1:])
    return code


def overview(about: str | None, title: str, commands: Mapping[str, Command]) -> str:
    """A help text: `about`, and below `title` a line for each of `commands`."""
    width = max(map(len, commands))
    lines = (f"  {name:{width}}  {entry.summary}" for name, entry in commands.items())
    return "\n".join([(about or "").rstrip(), "", f"{title}:", *lines])


def parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `sharpvae <name>` that prints `description` line for line."""
    return argparse.ArgumentParser(
        prog=f"sharpvae {name}".rstrip(),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def check(names: Iterable[str], known: Collection[str], where: str, kind: str) -> None:
    """UserError if one of `names` is not `known`, with the nearest one that is."""
    for name in names:
        if name not in known:
            raise UserError(where, kind, repr(name), nearest(name, known))


def table(*columns: str, title: str | None = None) -> Table:
    """A table without lines; a heading that begins with `>` is of a right-aligned column."""
    from rich.table import Table  # not for --help

    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        justify: Literal["left", "right"] = "right" if heading.startswith(">") else "left"
        made.add_column(heading.removeprefix(">"), justify=justify, overflow="fold")
    return made


def say(width: int, *parts: RenderableType, wrap: bool = True) -> None:
    """Print at the width of the terminal, or in `width` columns where there is none."""
    from rich.table import Table

    from sharpvae.core.console import terminal

    console = terminal(None if sys.stdout.isatty() else width)
    for part in parts:
        highlight = None if isinstance(part, Table) else False
        console.print(part, markup=False, highlight=highlight, soft_wrap=not wrap)


def warn_of_crowding(width: int, jobs: int) -> None:
    """Say so where `jobs` trainings at a time have more threads than there are processors.

    Args:
        width: as for `say`.
        jobs: trainings at the same time.

    Raises:
        UserError: a mistake in params.yaml, which has the threads of each.
    """
    from sharpvae.config.settings import configured
    from sharpvae.datasets.decode import cores

    if jobs == 1:
        return
    threads, there = configured({}, Path()).threads, cores()
    if jobs * threads > there:
        fix = f"threads: {there // jobs}" if jobs <= there else f"threads: 1 and -j {there}"
        say(
            width,
            f"-j {jobs} with threads: {threads} in params.yaml are {jobs * threads} threads for "
            f"{there} processors: on a CPU, trainings will wait for each other most of the time. "
            f"Better: {fix}",
        )
