"""What all benchmarks share: processes, the machine, memory, tables, the command line."""

from __future__ import annotations

import argparse
import os
import platform
import re
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.datasets.decode import cores

SPAWN = get_context("spawn")  # a fresh interpreter, with memory, threads and settings of its own
T = TypeVar("T")


def apart(work: Callable[..., T], *inputs: Any) -> T:
    """What `work` returns in a fresh process, which ends with it."""
    with ProcessPoolExecutor(1, SPAWN) as process:
        return process.submit(work, *inputs).result()


def matrix_rate(device: str) -> float:
    """The most multiply-adds a second in products of square float32 matrices, in one second."""
    from torch.utils.benchmark import Timer  # takes a second to import

    best = 0.0
    for side in (512, 1024, 2048):
        factors = dict(zip("ab", torch.rand(2, side, side, device=device), strict=True))
        timer = Timer("a @ b", globals=factors, num_threads=torch.get_num_threads())
        best = max(best, side**3 / min(timer.blocked_autorange(min_run_time=1 / 3).times))
    return best


def memory(entry: str) -> int:
    """MiB of this process: `VmHWM`, its peak resident memory, or `RssAnon`, what no file backs.

    Not getrusage's maximum, which includes the parent's memory from before the exec. UserError
    except on Linux.
    """
    status = Path("/proc/self/status")
    if not status.exists():
        raise UserError(str(status), "Linux, which tells a process its memory", sys.platform)
    return int(re.findall(rf"{entry}:\s+(\d+) kB", status.read_text())[0]) >> 10


def machine(device: torch.device | None = None) -> str:
    """The line on hardware, versions, and the load at the start."""
    cpus = Path("/proc/cpuinfo")
    models = re.findall(r"model name\s*: (.*)", cpus.read_text()) if cpus.exists() else []
    name = models[0] if models else platform.processor()
    gpu = f", {torch.cuda.get_device_name(device)}" if device and device.type == "cuda" else ""
    return (
        f"Machine: {name}, {cores()} cores{gpu}; Python {platform.python_version()}, torch "
        f"{torch.__version__}; {os.getloadavg()[0]:.1f} processes on {cores()} cores at the start."
    )


def markdown(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def spread(values: Sequence[float]) -> str:
    """Median (least-most)."""
    return f"{statistics.median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"


def run(
    name: str, about: str | None, page: Callable[[argparse.Namespace], Iterable[str]],
    devices: Sequence[str] = ("cpu",),
) -> int:  # fmt: skip
    """Print a benchmark's page, and write it to <name>.md unless it was --quick; the exit code.

    Args:
        about: the help text.
        page: from the options `quick` and `device` to the paragraphs of the results as Markdown.
        devices: choices of --device, the default first.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=about,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="measure less, and print only")
    parser.add_argument("--device", default=devices[0], choices=devices)
    options = parser.parse_args()

    def work() -> None:
        try:
            text = "\n\n".join(page(options)) + "\n"
        except BrokenProcessPool:
            where, expected = f"python -m benchmarks.{name}", "results of every process"
            raise UserError(where, expected, "the end of one", "see the message above") from None
        print(text)
        if not options.quick:
            Path(__file__).with_name(f"{name}.md").write_text(text, encoding="utf-8")

    return exit_code(work)
