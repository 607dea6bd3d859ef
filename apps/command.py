"""What every app has: how it is called, where it prints, how it ends."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from rich.console import Console

from sharpvae.core.errors import UserError

INTERRUPTED = 130  # as a shell reports Ctrl-C
RESUMABLE = "interrupted: the next call goes on where this one stopped"


def parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """A parser for `python -m <module>` that prints `description` line for line."""
    return argparse.ArgumentParser(
        prog=f"python -m {module}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def console(width: int) -> Console:
    """The terminal as wide as it is, or `width` columns where there is none."""
    return Console() if sys.stdout.isatty() else Console(width=width)


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
