"""A stage in miniature, which the tests of the launcher start: `several.py <what> <nodes>`."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import torch

from sharpvae.core.console import run
from sharpvae.core.errors import UserError
from sharpvae.distributed.launch import launch
from sharpvae.distributed.processes import all_reduce, joined, launched, rank, world


def main(what: str, nodes: str) -> None:
    if not launched():
        launch([sys.executable, __file__, what, nodes], 2 // int(nodes), int(nodes), "cpu")
        print("written by the stage")
        return
    with joined(torch.device("cpu"), timeout=60):
        together = float(all_reduce(torch.ones(())))
        print(f"{rank()} of {world()}, {together:g}\n", end="", flush=True)
        if what != "well":
            _work(what)


def _work(what: str) -> None:
    """Exchange for a minute; process 1 comes to grief, or process 0 keeps what there is."""
    if rank() == 0:  # as the stage does, whatever was ignored where the launcher started
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for step in range(600):
            all_reduce(torch.ones(()))
            time.sleep(0.1)
            if rank() == 1 and step == 2:
                _fail(what)
    except KeyboardInterrupt:
        Path("checkpoint").write_text(f"of process {rank()}")
        raise


def _fail(what: str) -> None:
    if what == "mistake":
        raise UserError("loss.beta", "a number", "none")
    if what == "fault":
        raise IndexError("of the program")
    if what == "killed":
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run(main, sys.argv, "what", "nodes")
