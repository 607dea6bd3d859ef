"""Starting a program as a terminal would."""

from __future__ import annotations

import sys

_EXEC = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def interruptible(*command: str) -> list[str]:
    """`command` such that SIGINT reaches it even where the tests run in the background.

    A shell starts background jobs with SIGINT ignored, and a child inherits that.
    """
    return [sys.executable, "-c", _EXEC, *command]
