"""What all benchmarks share: rates in turns, the machine, memory, tables."""

from __future__ import annotations

import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from sharpvae.core.errors import UserError
from sharpvae.datasets.decode import cores

_SIDES = (512, 1024, 2048)  # of the square matrices whose product shows how fast a machine can be


def rates(work: dict[str, Callable[[], int]], repeats: int) -> dict[str, float]:
    """Median of images a second; the candidates take turns."""
    found: dict[str, list[float]] = {name: [] for name in work}
    for _ in range(repeats):
        for name, candidate in work.items():
            started = time.perf_counter()
            images = candidate()
            found[name].append(images / (time.perf_counter() - started))
    return {name: statistics.median(values) for name, values in found.items()}


def in_turns(commands: Mapping[str, Sequence[str]], turns: int) -> dict[str, list[float]]:
    """What processes print when it is their turn, one after the other, `turns` times around.

    A process of its own keeps the memory, the threads and the settings of one candidate from the
    others; turns keep what else the machine does from one of them. A first round does not count.

    Args:
        commands: name -> arguments of `python -m`. Each process says that it is ready with one
            line, and answers every line it is sent with one number.

    Raises:
        UserError: a process ended before its time.
    """
    with ExitStack() as stack:
        processes = {name: _Process(command, stack) for name, command in commands.items()}
        for process in processes.values():
            process.answer()
        found: dict[str, list[float]] = {name: [] for name in commands}
        for turn in range(turns + 1):
            for name, process in processes.items():
                process.ask()
                rate = float(process.answer())
                if turn > 0:  # the first compiles, fills caches, finds its memory
                    found[name].append(rate)
    return found


class _Process:
    """A process that speaks as `serve` does; it ends with the stack."""

    def __init__(self, command: Sequence[str], stack: ExitStack) -> None:
        self.command = command
        self.process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self.process.kill)

    def ask(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise UserError(
                f"python -m {' '.join(self.command)}", "a number a turn", "its end",
                "see the message above",
            )  # fmt: skip
        return line


def serve(turn: Callable[[], float]) -> None:
    """The other side of `in_turns`: a number for every line that comes in."""
    print("ready", flush=True)
    while sys.stdin.readline():
        print(turn(), flush=True)


def matrix_rate(device: torch.device) -> float:
    """The most multiply-adds a second seen in a product of float32 matrices, for about a second."""
    best = 0.0
    for side in _SIDES:
        one, two = torch.rand(2, side, side, device=device)
        until = time.perf_counter() + 1 / len(_SIDES)
        while time.perf_counter() < until:
            synchronise(device)
            started = time.perf_counter()
            one @ two
            synchronise(device)
            best = max(best, side**3 / (time.perf_counter() - started))
    return best


def synchronise(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_of(*command: str) -> list[int]:
    """MiB of each number of KiB that `python -m <command>` prints."""
    done = subprocess.run(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, text=True, check=True
    )
    return [int(number) >> 10 for number in done.stdout.split()]


def memory(entry: str) -> int:
    """KiB of this process: `VmHWM`, its peak resident memory, or `RssAnon`, what no file backs.

    Not getrusage's maximum: that still has the parent's memory from before the exec.

    Raises:
        UserError: only Linux tells it.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise UserError(str(status), "Linux, which tells a process its memory", sys.platform)
    return int(re.findall(rf"{entry}:\s+(\d+) kB", status.read_text())[0])


def machine(device: torch.device | None = None) -> str:
    """What the numbers were measured on."""
    cpus = Path("/proc/cpuinfo")
    lines = cpus.read_text().splitlines() if cpus.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = models[0] if models else platform.processor()
    gpu = f", {torch.cuda.get_device_name(device)}" if device and device.type == "cuda" else ""
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{name}, {cores()} cores{gpu}; {versions}"


def load() -> str:
    """How many processes wanted a core in the last minute, beside how many there are."""
    return f"{os.getloadavg()[0]:.1f} processes on {cores()} cores"


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table, with an empty one behind."""
    lines = [head, ["---"] * len(head), *rows]
    return [*(f"| {' | '.join(map(str, line))} |" for line in lines), ""]


def spread(values: Sequence[float]) -> str:
    """Median with the least and the most."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"
