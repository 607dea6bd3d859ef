"""Stages at once: each is forked from a process that has imported what all of them import.

Run as a program it takes a JSON object a line, {"stage", "arguments", "place", "output", "errors",
"environment"}, and answers with the number of the new process, then, when that has ended, with its
exit code.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

STAGES = (
    "configure", "prepare", "critic", "reference", "train", "sample", "evaluate", "report",
)  # fmt: skip
REPOSITORY = Path(__file__).parents[1]


class Forking:
    """The other end of the pipe."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def start(
        self, stage: str, arguments: Sequence[str], place: Path, output: Path,
        errors: Path | None = None, environment: Mapping[str, str] | None = None,
    ) -> int:  # fmt: skip
        """Begin a stage in `place`, what it prints in files; the number of its process."""
        asked = {
            "stage": stage, "arguments": [*arguments], "place": str(place), "output": str(output),
            "errors": str(errors or output), "environment": dict(environment or os.environ),
        }  # fmt: skip
        assert self._process.stdin is not None
        self._process.stdin.write(f"{json.dumps(asked)}\n")
        self._process.stdin.flush()
        return self._answer(None)

    def wait(self, seconds: float | None = None) -> int:
        """The exit code of the stage; that of a signal is negative.

        Raises:
            TimeoutError: it does not end.
        """
        return self._answer(seconds)

    def _answer(self, seconds: float | None) -> int:
        assert self._process.stdout is not None
        if not select([self._process.stdout], [], [], seconds)[0]:
            raise TimeoutError(f"a stage does not end within {seconds} s")
        return int(self._process.stdout.readline())


@contextmanager
def forking(environment: Mapping[str, str]) -> Iterator[Forking]:
    """A process that forks stages, with more in its environment, until the end of the block."""
    with subprocess.Popen(
        [sys.executable, str(Path(__file__))], text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
    ) as process:  # fmt: skip
        try:
            yield Forking(process)
        finally:
            process.kill()


def _serve() -> None:
    for stage in STAGES:
        importlib.import_module(f"stages.{stage}")
        del sys.modules[f"stages.{stage}"]  # which runpy would warn of
    for late in ("torch._dynamo", "torch_fidelity", "sklearn.mixture", "dvclive"):
        importlib.import_module(late)  # in a run: by the first optimiser, score, density, training
    for line in iter(sys.stdin.readline, ""):
        asked = json.loads(line)
        child = os.fork()
        if not child:
            _become(asked)
        print(child, flush=True)
        status = os.waitpid(child, 0)[1]
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(asked: dict[str, Any]) -> None:
    """The stage in this process, which ends as it does."""
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(asked["place"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    same = asked["errors"] == asked["output"]
    os.dup2(1 if same else os.open(asked["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    name = f"stages.{asked['stage']}"
    sys.argv = [name, *asked["arguments"]]
    code: Any = 0
    try:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        code = end.code
    except KeyboardInterrupt:  # while it was imported
        traceback.print_exc()
        code = 130
    except BaseException:
        traceback.print_exc()
        code = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the stage is over
    sys.stdout.flush()
    sys.stderr.flush()
    atexit._run_exitfuncs()
    os._exit(int(code or 0))  # without taking apart the modules, for a second


if __name__ == "__main__":
    _serve()
