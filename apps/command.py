"""The command line and the tables of every app."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterable
from typing import Literal

from rich.console import Console, RenderableType
from rich.table import Table

from sharpvae.core.errors import UserError, nearest

RESUMABLE = "the next call resumes where this one stopped"


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m <module>` that prints `description` line for line."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
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
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        justify: Literal["left", "right"] = "right" if heading.startswith(">") else "left"
        made.add_column(heading.removeprefix(">"), justify=justify, overflow="fold")
    return made


def say(width: int, *parts: RenderableType, wrap: bool = True) -> None:
    """Print at the width of the terminal, or in `width` columns where there is none."""
    console = Console() if sys.stdout.isatty() else Console(width=width)
    for part in parts:
        highlight = None if isinstance(part, Table) else False
        console.print(part, markup=False, highlight=highlight, soft_wrap=not wrap)
