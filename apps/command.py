"""What every app has: how it is called, what it prints, how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Iterable

from rich.console import Console, RenderableType
from rich.table import Table

from sharpvae.core.errors import UserError, nearest

INTERRUPTED = 130  # as a shell reports Ctrl-C
RESUMABLE = "interrupted: the next call goes on where this one stopped"


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m <module>` that prints `description` line for line."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def check(names: Iterable[str], known: Collection[str], where: str, kind: str) -> None:
    """Raises: UserError: one of `names` is not among `known`, with the nearest one that is."""
    for name in names:
        if name not in known:
            raise UserError(where, kind, repr(name), nearest(name, known))


def table(*columns: str, title: str | None = None) -> Table:
    """A table without lines; the cells below a heading that begins with `>` stand on the right."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in columns:
        made.add_column(
            heading.removeprefix(">"),
            justify="right" if heading.startswith(">") else "left",
            overflow="fold",
        )
    return made


def say(width: int, *parts: RenderableType, wrap: bool = True) -> None:
    """Print to the terminal, as wide as it is, or with `width` columns where there is none."""
    console = Console() if sys.stdout.isatty() else Console(width=width)
    for part in parts:
        highlight = None if isinstance(part, Table) else False
        console.print(part, markup=False, highlight=highlight, soft_wrap=not wrap)


def exit_code(work: Callable[[], None], interrupted: str = "interrupted") -> int:
    """Do `work`; 0 where it ends well, 1 after a mistake that the user can mend, 130 on Ctrl-C.

    Args:
        work: the app; what it raises besides is a fault of the program and keeps its traceback.
        interrupted: what to say on Ctrl-C.
    """
    try:
        work()
    except UserError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return INTERRUPTED
    return 0
