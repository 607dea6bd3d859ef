"""What the stage `train` does beside training, as shares of its time; and how soon it goes on.

    python -m benchmarks.stage        three minutes; wants what `dvc repro` leaves behind

Trains `original` and `improved` as configured, in a folder of their own, and times every call to
the film, the loggers and the checkpoints. Then it interrupts a training in the middle and times the
next one up to its first update. Writes benchmarks/stage.md.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.measuring import load, machine, markdown
from sharpvae.core.errors import UserError

NEEDED = ("configs", "data/prepared", "models/critic")
REPOSITORY = Path(__file__).parents[1]
TABLE = Path(__file__).with_name("stage.md")


def timed(spent: dict[str, float], name: str, owner: type, *methods: str) -> None:
    """Add the seconds of every call of these methods to `spent[name]`."""
    spent.setdefault(name, 0.0)
    for method in methods:
        real: Callable[..., Any] = getattr(owner, method)

        def timing(*inputs: Any, real: Callable[..., Any] = real, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return real(*inputs, **named)
            finally:
                spent[name] += time.perf_counter() - began

        setattr(owner, method, timing)


def train(variant: str, stop_at: int) -> None:
    """Run the stage here; print seconds by what they went into.

    Args:
        stop_at: the update at which to interrupt it; 0: not at all.
    """
    began = time.time() - float(os.environ["BEGAN"])
    from sharpvae.training.checkpoints import Checkpoints
    from sharpvae.training.loggers import Film, Loggers
    from sharpvae.training.loop import Trainer
    from sharpvae.training.watch import Watch
    from stages import train as stage

    spent: dict[str, float] = {}
    timed(spent, "film", Film, "shoot")
    timed(spent, "loggers", Loggers, "step", "epoch", "pictures", "replay")
    timed(spent, "checkpoints", Checkpoints, "save")
    timed(spent, "reading the checkpoint", Checkpoints, "newest")
    timed(spent, "reading the checkpoint", Trainer, "load_state_dict")
    show = Watch.step

    def step(watch: Watch, record: Any) -> None:
        spent.setdefault("until the first update", began + time.perf_counter() - started)
        show(watch, record)
        if stop_at and record.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    Watch.step = step  # type: ignore[method-assign]
    started = time.perf_counter()
    with suppress(KeyboardInterrupt):
        stage.main(variant, "0")
    spent["all"] = time.perf_counter() - started
    for name, seconds in spent.items():
        print(f"spent;{name};{seconds}")


def run(place: Path, variant: str, stop_at: int = 0) -> dict[str, float]:
    """Seconds of a stage in a process of its own, by what they went into."""
    command = [sys.executable, "-m", "benchmarks.stage", "--train", variant, str(stop_at)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "BEGAN": str(time.time())}
    environment.pop("DVC_ROOT", None)
    said = subprocess.run(
        command, cwd=place, env=environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    rows = [line.split(";")[1:] for line in said.splitlines() if line.startswith("spent;")]
    return {name: float(seconds) for name, seconds in rows}


def page(place: Path) -> str:
    """The results as Markdown."""
    about = "Made by `python -m benchmarks.stage`: shares of the time of the whole stage `train`."
    lines = [
        "# Beside training",
        "",
        about,
        "",
        f"Machine: {machine()}; {load()} at the start.",
        "",
    ]
    parts = ("film", "loggers", "checkpoints")
    rows = []
    for variant in ("original", "improved"):
        spent = run(place, variant)
        shares = [spent[part] / spent["all"] for part in parts]
        rows.append(
            [variant, f"{spent['all']:.1f} s", *(f"{s:.2%}" for s in [*shares, sum(shares)])]
        )
    lines += markdown(["variant", "stage", *parts, "together"], rows)
    run(place, "improved", stop_at=300)
    resumed = run(place, "improved")
    fresh = run(place, "improved", stop_at=1)
    lines += markdown(
        ["improved", "from the start of the process to the first update", "reading the checkpoint"],
        [[name, f"{spent['until the first update']:.2f} s",
          f"{spent['reading the checkpoint']:.3f} s"]
         for name, spent in (("from the beginning", fresh), ("going on", resumed))],
    )  # fmt: skip
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        train(options.train[0], int(options.train[1]))
        return
    missing = [name for name in NEEDED if not Path(name).is_dir()]
    if missing:
        raise UserError(", ".join(missing), "what the stages write", "not there", "run: dvc repro")
    with tempfile.TemporaryDirectory() as name:
        for needed in NEEDED:
            link = Path(name) / needed
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(Path(needed).resolve(), target_is_directory=True)
        text = page(Path(name))
    print(text)
    TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
