"""How every stage talks and ends: one message for a mistake, one exit code for each ending."""

from __future__ import annotations

import sys
from collections.abc import Callable

from sharpvae.errors import UserError

INTERRUPTED = 130  # as a shell reports Ctrl-C; never 0, or DVC would cache a cut-off output


def run(module: str, stage: Callable[..., None], *names: str) -> None:
    """Call `stage` with the command line's arguments and exit as DVC needs it to.

    A UserError prints its message and exits 1; Ctrl-C exits 130; any other exception is a fault
    of the program and keeps its traceback.

    Args:
        module: what stands after `python -m`.
        stage: takes one string for each of `names`.
        names: the arguments, as the usage line shows them.
    """
    arguments = sys.argv[1:]
    if len(arguments) != len(names):
        print(" ".join([f"usage: python -m {module}", *(f"<{n}>" for n in names)]), file=sys.stderr)
        sys.exit(2)
    try:
        stage(*arguments)
    except UserError as error:
        sys.stdout.flush()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt as interruption:
        print(f"interrupted: {interruption or 'no output was written'}", file=sys.stderr)
        sys.exit(INTERRUPTED)
