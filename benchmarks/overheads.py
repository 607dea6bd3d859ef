"""What a training costs before its first update, and in memory as the data grows.

    python -m benchmarks.overheads           two minutes; writes benchmarks/overheads.md
    python -m benchmarks.overheads --quick   a quarter of the images, prints only

The data is a packed split of noise on disk, mapped as the stage `train` maps it.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import load, machine, markdown, memory, memory_of

BATCH, UPDATES, STARTS = 64, 50, 5
IMAGES, GROWTH = 8192, (1, 4, 16)
SIDE, CHANNELS = 64, 3
TABLE = Path(__file__).with_name("overheads.md")


def noise(directory: Path, count: int) -> Path:
    """A packed split of `count` images; 12 KB each."""
    from sharpvae.images.packed import write_images

    random = np.random.default_rng(0)
    sizes = [min(1024, count - start) for start in range(0, count, 1024)]
    chunks = (random.integers(0, 256, (n, SIDE, SIDE, CHANNELS), dtype=np.uint8) for n in sizes)
    directory.mkdir()
    write_images(directory, "train", (count, SIDE, SIDE, CHANNELS), chunks)
    return directory


def updates(directory: Path) -> Iterator[object]:
    """Train the improved network at laptop width on what lies there, record by record."""
    from benchmarks.candidates import Task, trainer
    from sharpvae.core.devices import keep_memory
    from sharpvae.images.packed import load_split

    keep_memory()
    images: NDArray[np.uint8] = load_split(directory, "train").images
    steps = len(images) // BATCH
    task = Task("improved", SIDE, CHANNELS, 0.125, BATCH, steps, "cpu")
    return iter(trainer(task, split=images).run())


def start(directory: Path) -> dict[str, float]:
    """Seconds of a fresh process until torch is there, and until the first update is done."""
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.overheads", "--start", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        return {line.strip(): time.monotonic() - began for line in process.stdout}


def page(top: Path, images: int) -> Iterator[str]:
    """The lines of the results as Markdown."""
    about = "Made by `python -m benchmarks.overheads`; the Trainer alone, on noise."
    yield from [
        "# Start and memory",
        "",
        about,
        "",
        f"Machine: {machine()}; {load()} at the start.",
        "",
    ]
    folders = {count: noise(top / str(count), count) for count in (images * n for n in GROWTH)}
    few = folders[images]
    start(few)  # brings the libraries into the page cache
    starts = [start(few) for _ in range(STARTS)]
    rows = [
        [name, f"{statistics.median(one[name] for one in starts):.2f} s",
         f"{min(one[name] for one in starts):.2f} s"]
        for name in starts[0]
    ]  # fmt: skip
    yield from markdown(["from the start of the process until", "median", "least"], rows)
    head = [
        "images",
        "on disk",
        f"of {UPDATES} updates: no file behind it",
        "mapped file pages too",
    ]
    rows = []
    for count, folder in folders.items():
        anonymous, peak = memory_of("benchmarks.overheads", "--memory", str(folder))
        disk = count * SIDE * SIDE * CHANNELS >> 20
        rows.append([f"{count:,}", *(f"{size:,} MiB" for size in (disk, anonymous, peak))])
    yield "Peak resident memory. Mapped pages of the file are the page cache's and can go."
    yield from ["", *markdown(head, rows)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start:
        import torch  # noqa: F401

        print("torch is imported", flush=True)
        next(updates(options.start))
        print("the first update is done", flush=True)
    elif options.memory:
        records = islice(updates(options.memory), UPDATES)
        print(max(memory("RssAnon") for _ in records), memory("VmHWM"))
    else:
        with tempfile.TemporaryDirectory() as name:
            text = "\n".join(page(Path(name), IMAGES // 4 if options.quick else IMAGES))
        print(text)
        if not options.quick:
            TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
