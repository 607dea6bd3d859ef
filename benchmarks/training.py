"""How fast the engine trains, against Pythae's trainer and a plain PyTorch loop, and the limit.

    python -m benchmarks.training            a quarter of an hour; writes benchmarks/training.md
    python -m benchmarks.training --quick    one network, few turns, prints only

Wants pip install -e '.[bench]'. Each candidate lives in a process of its own and they take turns,
an epoch each, so that all see the same machine. Other work on the machine shows in the spread.

With a GPU (--device auto takes it) networks are eight times as wide, batches four times as large,
and a table says how far the time of an update is above that of its kernels. That part has not been
run: the machine of training.md has no GPU.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple
from pathlib import Path

import torch

from apps.describe import layers
from benchmarks.candidates import CANDIDATES, SETTINGS, Epoch, Task, turns
from benchmarks.measuring import (
    in_turns,
    load,
    machine,
    markdown,
    matrix_rate,
    serve,
    spread,
    synchronise,
)
from sharpvae.core.devices import select
from sharpvae.core.errors import UserError

TURNS = 9
NETWORKS = ("original", "improved")
SHAPES = {32: 1, 64: 3}  # pixels of a side -> channels
TABLE = Path(__file__).with_name("training.md")
MATRIX = "matrix products"  # the candidate that multiplies matrices: the limit, at its own turn
Found = dict[str, list[float]]


def tasks(device: str, quick: bool) -> list[Task]:
    """What is trained: laptop width on a CPU, full width on a GPU."""
    width, batch = (1.0, 256) if device == "cuda" else (0.125, 64)
    networks = NETWORKS[1:] if quick else NETWORKS
    sizes = [32] if quick else list(SHAPES)
    return [
        Task(network, size, SHAPES[size], width, batch, 3200 // size // 2, device)
        for network in networks
        for size in sizes
    ]


def measure(task: Task, names: list[str], repeats: int) -> Found:
    """Images a second (multiply-adds a second of the matrix products), a number a turn each."""
    told = [str(value) for value in astuple(task)]
    return in_turns(
        {name: ["benchmarks.training", "--turn", name, *told] for name in names}, repeats
    )


def take_turns(name: str, told: list[str]) -> None:
    """Be one candidate, in a process of its own."""
    network, size, channels, width, batch, steps, device = told
    task = Task(network, int(size), int(channels), float(width), int(batch), int(steps), device)
    if name == MATRIX:
        where = torch.device(device)
        serve(lambda: matrix_rate(where))
        return
    rates = turns({**CANDIDATES, **SETTINGS}[name](task), task)
    serve(lambda: next(rates))


def multiply_adds(task: Task) -> int:
    """Of one update, an image: forward, gradient of the weights, gradient of the inputs.

    The first layer's input is the images, of which nobody wants the gradient.
    """
    cost = [layer.multiply_adds for layer in layers(task.vae(), task.channels, task.size)]
    return 3 * sum(cost) - next(filter(None, cost))


def speeds(task: Task, found: Found) -> list[list[str]]:
    """A row a candidate: images/s, and its ratio to Pythae and to the plain loop, turn by turn."""
    return [
        [what(task), name, spread(found[name])]
        + [f"{ratio(found[name], found[peer]):.2f}" for peer in ("pythae", "plain")]
        for name in found
        if name != MATRIX
    ]


def limit(task: Task, found: Found) -> list[str]:
    """What the machine can do, what an update wants, and the share of it that the engine gets."""
    work, best = multiply_adds(task), max(found[MATRIX])
    reached = work * statistics.median(found["engine"])
    return [
        what(task), f"{work / 1e6:.2f}", f"{best / 1e9:,.0f}", f"{best / work:,.0f}",
        f"{reached / 1e9:,.1f}", f"{reached / best:.0%}",
    ]  # fmt: skip


def settings(task: Task, found: Found) -> list[list[str]]:
    """A row a setting: images/s, and its ratio to the same loop without it."""
    return [
        [what(task), name, spread(values), f"{ratio(values, found[name.partition(',')[0]]):.2f}"]
        for name, values in found.items()
    ]


def ratio(ours: list[float], theirs: list[float]) -> float:
    """Median over the turns of the ratio within one, in which the machine was the same."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


def what(task: Task) -> str:
    """A task in words."""
    return f"{task.network} {task.size}x{task.size}x{task.channels}"


def kernel_share(task: Task, build: Callable[[Task], Epoch]) -> float:
    """Time of an update over the time of its kernels, on a GPU; 1: it never waits for Python."""
    epoch, device = build(task), torch.device(task.device)
    rates = turns(epoch, task)
    next(rates)
    wall = task.batch / next(rates)
    activities = [torch.profiler.ProfilerActivity.CUDA]
    with torch.profiler.profile(activities=activities) as profile:
        epoch(lambda: None)
        synchronise(device)
    kernels = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return wall / (kernels / task.steps)


def page(device: torch.device, quick: bool) -> Iterator[str]:
    """The lines of the results as Markdown, as they come."""
    repeats = 3 if quick else TURNS
    todo = tasks(device.type, quick)
    yield from [
        "# Training", "", "Made by `python -m benchmarks.training`. Images/s: median (least-most) "
        f"of {repeats} turns of each candidate in",
        "a process of its own; ratios: median over the turns. Same network, batches, objective and "
        "Adam; fp32 but where",
        "it says bf16. See docs/performance.md.", "",
        f"Machine: {machine(device)}; {load()} at the start.",
        f"Batches of {todo[0].batch}, width_scale {todo[0].width_scale:g}.", "",
    ]  # fmt: skip
    all_found = [measure(task, [*CANDIDATES, MATRIX], repeats) for task in todo]
    pairs = list(zip(todo, all_found, strict=True))
    head = ["network, images", "candidate", "images/s", "against Pythae", "against plain"]
    yield from markdown(head, [row for pair in pairs for row in speeds(*pair)])
    yield from [
        "## The limit", "", "Multiply-adds of an update against the fastest product of float32 "
        "matrices on this machine.", "",
    ]  # fmt: skip
    head = ["network, images", "10^6 multiply-adds an image", "matrices, 10^9/s", "images/s then",
            "engine, 10^9/s", "share"]  # fmt: skip
    yield from markdown(head, [limit(*pair) for pair in pairs])
    yield from ["## Single settings", ""]
    measured = [(task, measure(task, list(SETTINGS), repeats)) for task in todo]
    head = ["network, images", "loop", "images/s", "against the first"]
    yield from markdown(head, [row for pair in measured for row in settings(*pair)])
    if device.type == "cuda":
        yield from ["## Time of an update over that of its kernels", ""]
        shares = [
            [what(task), name, f"{kernel_share(task, CANDIDATES[name]):.2f}"]
            for task in todo
            for name in ("engine", "engine, bf16")
        ]
        yield from markdown(["network, images", "candidate", "ratio"], shares)


def main() -> None:
    """Measure, print, and keep the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--turn", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.turn:
        take_turns(options.turn[0], options.turn[1:])
        return
    if importlib.util.find_spec("pythae") is None:
        raise UserError(
            "benchmarks.training", "the package pythae, to compare with", "no such package",
            "pip install -e '.[bench]'",
        )  # fmt: skip
    text = "\n".join(page(select(options.device), options.quick))
    print(text)
    if not options.quick:
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
