"""What a training costs beside its updates: other work of the stage, its start, memory.

    python -m benchmarks.stage           five minutes; writes benchmarks/stage.md
    python -m benchmarks.stage --quick   the last two tables, a quarter of the images; prints only

First it trains `original` and `improved` as configured, in a folder of their own, and times every
call to the film, the loggers and the checkpoints; then it interrupts a training in the middle and
times the resumed one up to its first update. That needs the outputs of `dvc repro`. The rest is the
trainer alone, on a packed split of noise on disk, mapped as the stage `train` maps it.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import apart, machine, markdown, memory, run
from sharpvae.core.errors import UserError

NEEDED = ("configs", "data/prepared", "models/critic")
PARTS = ("film", "loggers", "checkpoints")
BATCH, UPDATES, STARTS = 64, 50, 5
IMAGES, GROWTH = 8192, (1, 4, 16)
SIDE, CHANNELS = 64, 3


def timed(spent: dict[str, float], name: str, owner: type, method: str) -> None:
    """Add the seconds of every call of the method to `spent[name]`."""
    real: Callable[..., Any] = getattr(owner, method)

    def timing(*inputs: Any, **named: Any) -> Any:
        began = time.perf_counter()
        try:
            return real(*inputs, **named)
        finally:
            spent[name] += time.perf_counter() - began

    setattr(owner, method, timing)


def train(began: float, place: Path, variant: str, stop_at: int = 0) -> dict[str, float]:
    """Run the stage in `place`, in a process begun at `began`; seconds of each part of it.

    It is interrupted at the update `stop_at`, if that is not 0.
    """
    from sharpvae.training.checkpoints import Checkpoints
    from sharpvae.training.loggers import DvcLiveLogger
    from sharpvae.training.loop import Trainer
    from sharpvae.training.validate import Film
    from sharpvae.training.watch import Watch
    from stages import train as stage

    os.chdir(place)
    os.environ.pop("DVC_ROOT", None)
    spent: dict[str, float] = defaultdict(float)
    timed(spent, "film", Film, "shoot")
    timed(spent, "loggers", DvcLiveLogger, "replay")  # by which it logs each epoch
    timed(spent, "checkpoints", Checkpoints, "save")
    timed(spent, "reading the checkpoint", Checkpoints, "newest")
    timed(spent, "reading the checkpoint", Trainer, "load_state_dict")
    show = Watch.step

    def step(watch: Watch, record: Any) -> None:
        spent.setdefault("until the first update", time.monotonic() - began)
        show(watch, record)
        if stop_at and record.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    setattr(Watch, "step", step)  # noqa: B010
    started = time.perf_counter()
    with suppress(KeyboardInterrupt), redirect_stdout(io.StringIO()):
        stage.main(variant, "0")
    return spent | {"all": time.perf_counter() - started}


def beside(place: Path) -> Iterator[str]:
    """The paragraphs on the whole stage."""
    yield "# Beside training"
    yield "Made by `python -m benchmarks.stage`: shares of the time of the whole stage `train`."
    yield machine()
    rows = []
    for variant in ("original", "improved"):
        spent = apart(train, time.monotonic(), place, variant)
        shares = [spent[part] / spent["all"] for part in PARTS]
        percentages = [f"{share:.2%}" for share in (*shares, sum(shares))]
        rows.append([variant, f"{spent['all']:.1f} s", *percentages])
    yield markdown(["variant", "stage", *PARTS, "together"], rows)
    apart(train, time.monotonic(), place, "improved", 300)
    resumed = apart(train, time.monotonic(), place, "improved")
    fresh = apart(train, time.monotonic(), place, "improved", 1)
    first, reading = "until the first update", "reading the checkpoint"
    yield markdown(
        ["improved", "from the start of the process to the first update", reading],
        [
            [name, f"{spent[first]:.2f} s", f"{spent[reading]:.3f} s"]
            for name, spent in (("from the beginning", fresh), ("going on", resumed))
        ],
    )


def noise(directory: Path, count: int) -> Path:
    """A packed split of `count` images, a multiple of 1024; 12 KB each."""
    from sharpvae.images.packed import write_images

    random, shape = np.random.default_rng(0), (SIDE, SIDE, CHANNELS)
    parts = range(count // 1024)
    chunks = (random.integers(0, 256, (1024, *shape), dtype=np.uint8) for _ in parts)
    directory.mkdir()
    write_images(directory, "train", (count, *shape), chunks)
    return directory


def updates(directory: Path) -> Iterator[object]:
    """Train the improved network at laptop width on the images there, record by record."""
    from benchmarks.training import Task, trainer
    from sharpvae.core.devices import keep_memory
    from sharpvae.images.packed import load_split

    keep_memory()
    images = load_split(directory, "train").images
    task = Task("improved", SIDE, CHANNELS, 0.125, BATCH, len(images) // BATCH, "cpu")
    return trainer(task, images).run()


def start(began: float, directory: Path) -> dict[str, float]:
    """Seconds from `began`, the process's start, to the import of torch and to the first update."""
    imported = time.monotonic() - began
    next(iter(updates(directory)))
    return {"torch is imported": imported, "the first update is done": time.monotonic() - began}


def peaks(directory: Path) -> list[int]:
    """Peak MiB of this process in `UPDATES` updates: what no file backs, and all."""
    return [max(memory("RssAnon") for _ in islice(updates(directory), UPDATES)), memory("VmHWM")]


def alone(top: Path, images: int) -> Iterator[str]:
    """The paragraphs on the trainer."""
    yield "# Start and memory"
    yield "The Trainer alone, on noise."
    yield machine()
    folders = {count: noise(top / str(count), count) for count in (images * n for n in GROWTH)}
    starts = [apart(start, time.monotonic(), folders[images]) for _ in range(STARTS + 1)]
    rows = []
    for name in starts[0]:
        seconds = [one[name] for one in starts[1:]]  # the first fills the page cache with libraries
        rows.append([name, f"{statistics.median(seconds):.2f} s", f"{min(seconds):.2f} s"])
    yield markdown(["from the start of the process until", "median", "least"], rows)
    yield "Peak resident memory. Mapped pages of the file are the page cache's and can go."
    rows = []
    for count, folder in folders.items():
        sizes = (count * SIDE * SIDE * CHANNELS >> 20, *apart(peaks, folder))
        rows.append([f"{count:,}", *(f"{size:,} MiB" for size in sizes)])
    updated = f"of {UPDATES} updates: no file behind it"
    yield markdown(["images", "on disk", updated, "mapped file pages too"], rows)


def page(options: argparse.Namespace) -> Iterator[str]:
    """The paragraphs of the results as Markdown."""
    missing = [] if options.quick else [name for name in NEEDED if not Path(name).is_dir()]
    if missing:
        raise UserError(", ".join(missing), "what the stages write", "not there", "run: dvc repro")
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        if not options.quick:
            for needed in NEEDED:
                link = top / needed
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(Path(needed).resolve())
            yield from beside(top)
        yield from alone(top, IMAGES // 4 if options.quick else IMAGES)


if __name__ == "__main__":
    sys.exit(run("stage", __doc__, page))
