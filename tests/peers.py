"""A function run by two processes that belong together, on the CPU through Gloo."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from sharpvae.distributed.processes import joined

WORLD = 2
REPOSITORY = Path(__file__).parents[1]

# An installed package may be called `tests` as well.
_START = """
import sys, types
sys.modules["tests"] = package = types.ModuleType("tests")
package.__path__ = [sys.argv[1]]
from tests.peers import run
run(*sys.argv[2:])
"""


def together(function: Callable[[], Any]) -> list[Any]:
    """What `function`, of a test's module, returns in each process: tensors, numbers, dicts."""
    with tempfile.TemporaryDirectory() as place:
        processes = [
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", _START, str(REPOSITORY / "tests"),
                 function.__module__, function.__name__, place],
                env=os.environ | environment,
            )
            for environment in environments()
        ]  # fmt: skip
        try:
            assert [process.wait(120) for process in processes] == [0] * WORLD
        finally:
            for process in processes:
                process.kill()
        return [torch.load(Path(place) / str(rank)) for rank in range(WORLD)]


def environments() -> list[dict[str, str]]:
    """What torchrun would tell each process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    loopback = {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
    shared = {"WORLD_SIZE": str(WORLD), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
              "PYTHONPATH": str(REPOSITORY), "GLOO_SOCKET_IFNAME": loopback.pop()}  # fmt: skip
    return [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(WORLD)]


def run(module: str, function: str, place: str) -> None:
    """One of the processes, which hears SIGINT even where nohup or a shell had it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    torch.set_num_threads(1)
    with joined(torch.device("cpu"), timeout=60):
        result = getattr(importlib.import_module(module), function)()
        torch.save(result, Path(place) / os.environ["RANK"])
