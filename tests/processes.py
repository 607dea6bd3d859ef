"""Starting a program as a terminal would, and Python code in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]

# `sharpvae`, also where it is not installed; its arguments follow.
SHARPVAE = ("-c", "import sys; from apps.main import main; sys.exit(main())")

_EXEC = (
    "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


def printed(place: Path, *arguments: str) -> str:
    """What `sharpvae <arguments>` prints in `place`; it must end well, and without a warning."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, *SHARPVAE, *arguments],
        cwd=place, env=environment, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def interruptible(*command: str) -> list[str]:
    """`command` such that SIGINT reaches it even where the tests run in the background.

    A shell starts background jobs with SIGINT ignored, and a child inherits that.
    """
    return [sys.executable, "-c", _EXEC, *command]


@contextmanager
def running(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run Python `code` beside the block, its input and output on pipes; killed afterwards."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def told(process: subprocess.Popen[str]) -> str:
    """The next line that a process prints; waits for it."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go_on(process: subprocess.Popen[str]) -> None:
    """Send a line to a process that waits for one."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()
