"""How the pipeline grows with the data: seconds and memory of every stage.

    python -m benchmarks.scale           ten thousand to a million; writes benchmarks/scale.md
    python -m benchmarks.scale --quick   one and two thousand images; prints only

The images are 32x32 and grey, soft shapes, each its own, in a .zip of PNGs, sorted into ten
classes. The network is that of the preset toy, trained for one epoch.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.measuring import machine, markdown, run

ROOT = Path(__file__).parents[1]
COUNTS, QUICK = (10_000, 100_000, 1_000_000), (1000, 2000)
SIDE, CLASSES, BLOCK = 32, 10, 10_000
STAGES = ("configure", "prepare", "critic", "reference", "train", "sample", "evaluate", "report")
OF_RUN = ("train", "sample", "evaluate")
CHANGES = {
    "preset: laptop": "preset: toy", "  name: mnist5k ": "  name: zip ",
    "  path: null ": "  path: images.zip ", "  subset: null ": "  subset: 1.0 ",
    "  image_size: null ": f"  image_size: {SIDE} ",
}  # fmt: skip
# The stage, and as the last word of its output the most memory that it held, in KiB.
MEASURED = """
import atexit, pathlib, re, runpy, sys
status = pathlib.Path("/proc/self/status")
atexit.register(lambda: print(re.search(r"VmHWM:\\s+(\\d+)", status.read_text())[1]))
sys.argv[:] = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__")
"""


def page(options: argparse.Namespace) -> Iterator[str]:
    """The paragraphs of the results."""
    yield "# From ten thousand images to a million"
    yield "Made by `python -m benchmarks.scale`. " + (__doc__ or "").rpartition("\n\n")[2].strip()
    yield machine()
    counts = QUICK if options.quick else COUNTS
    found = [grown(count) for count in counts]
    head = ["stage", *(f"{count:,} images" for count in counts)]
    rows = [
        [name, *(f"{one[name][0]:.0f} s, {one[name][1]} MiB" for one in found)] for name in STAGES
    ]
    yield markdown(head, rows)


def grown(count: int) -> dict[str, tuple[float, int]]:
    """Stage -> seconds, and MiB at the peak."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("presets", "studies"):
            shutil.copytree(ROOT / name, place / name)
        text, _, _ = (ROOT / "params.yaml").read_text().partition("\nvariants:\n")
        for before, after in CHANGES.items():
            assert before in text, before
            text = text.replace(before, after, 1)
        variant = "\nvariants:\n  grown: {train: {epochs: 1, updates: null, film_every: 0}}\n"
        (place / "params.yaml").write_text(text + variant)
        archive(place / "images.zip", count)
        return {name: stage(place, name) for name in STAGES}


def archive(path: Path, count: int) -> None:
    """A .zip of `count` images that are all different."""
    with zipfile.ZipFile(path, "w") as file:
        for start in range(0, count, BLOCK):
            for index, pixels in enumerate(shapes(start, min(BLOCK, count - start)), start):
                buffer = io.BytesIO()
                Image.fromarray(pixels).save(buffer, "png", compress_level=1)
                file.writestr(f"{index % CLASSES}/{index}.png", buffer.getvalue())


def shapes(seed: int, count: int) -> NDArray[np.uint8]:
    """uint8 [count, SIDE, SIDE]: 5 x 5 random greys, bilinearly enlarged."""
    where = np.linspace(0, 4, SIDE)
    weights = np.maximum(0, 1 - abs(where[:, None] - np.arange(5)))
    small = np.random.default_rng(seed).uniform(0, 255, (count, 5, 5))
    return np.asarray(weights @ small @ weights.T, dtype=np.uint8)


def stage(place: Path, name: str) -> tuple[float, int]:
    """Seconds and peak MiB of one stage, each in a process of its own."""
    arguments = ["grown", "0"] if name in OF_RUN else []
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, f"stages.{name}", *arguments], cwd=place, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    peak = int(re.findall(r"\d+", done.stdout)[-1]) >> 10
    print(f"{name}: {seconds:.0f} s, {peak} MiB", file=sys.stderr, flush=True)
    return seconds, peak


if __name__ == "__main__":
    sys.exit(run("scale", __doc__, page))
