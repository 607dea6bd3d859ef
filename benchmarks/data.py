"""How fast data is prepared and fed, against torchvision's own ways, and in how much memory.

    python -m benchmarks.data            about five minutes; writes benchmarks/data.md
    python -m benchmarks.data --quick    a tenth of the images, prints only

Photographs are synthetic: soft random colours with noise on them, JPEG of Pillow's default
quality, 3.6 KB in the mean (4317 real flowers of this size: 2.8 KB). Each pair of rates is measured
alternately in one process, so that both run under the same load.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, Resize, ToTensor

from benchmarks.measuring import apart, machine, markdown, memory, run
from sharpvae.core.console import Progress
from sharpvae.datasets.config import DataConfig, Minimum
from sharpvae.datasets.pack import prepare
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_split

SIDE, SIZE, CLASSES = 128, 64, 10  # pixels of a photograph, pixels wanted, class folders
BATCH, WORKERS, REPEATS = 64, 2, 7
PASSES = 10  # of feeding: one takes too little time to be measured
Candidate = Callable[[], int]  # returns how many images it processed


def compare(task: str, candidates: dict[str, Candidate], repeats: int) -> list[list[str]]:
    """Medians of images a second, taking turns: a row for each candidate but the last, ours."""
    rates: dict[str, list[float]] = {name: [] for name in candidates}
    for _ in range(repeats):
        for name, candidate in candidates.items():
            started = time.perf_counter()
            images = candidate()
            rates[name].append(images / (time.perf_counter() - started))
    *others, ours = map(statistics.median, rates.values())
    return [
        [task, name, f"{rate:,.0f}", f"{ours:,.0f}", f"{ours / rate:.1f}"]
        for name, rate in zip(rates, others, strict=False)
    ]


def photographs(folder: Path, number: int, side: int = SIDE) -> Path:
    """`number` different JPEGs in class folders."""
    rng = np.random.default_rng(0)
    for index in range(number):
        coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        soft = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
        noisy = soft + rng.normal(0, 5, (side, side, 1))
        path = folder / f"class{index % CLASSES}" / f"{index:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def packed(folder: Path, into: Path) -> int:
    """All of the stage `prepare`; returns how many images it packed."""
    config = DataConfig(
        name="folder", path=str(folder), mirror=None, image_size=SIZE, fit="crop", subset=None,
        classes=None, binarize=None, validation_fraction=0.1, test_fraction=0.2, strict=True,
        seed=0,
    )  # fmt: skip
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    prepare(config, Minimum(train=1, validation=1, test=1), into / "raw", into, Progress())
    return sum(len(load_split(into, split).images) for split in ("train", "validation", "test"))


def loop(folder: Path, keep: bool) -> int:
    """A simple loop: decode and resize, image by image, on one core; `keep` the pixels or not."""
    images = ImageFolder(folder, transform=Resize((SIZE, SIZE)))
    array = np.empty((len(images) if keep else 1, SIZE, SIZE, 3), dtype=np.uint8)
    for index, (image, _) in enumerate(images):
        if keep:
            array[index] = image
    return len(images)


def feeding(folder: Path, prepared: Path, repeats: int) -> list[list[str]]:
    """The row that compares a DataLoader with workers and the packed array."""
    dataset = ImageFolder(folder, transform=Compose([Resize((SIZE, SIZE)), ToTensor()]))
    loader = DataLoader(
        dataset, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )
    feed = Feed(load_split(prepared, "train"), torch.device("cpu"))
    epochs = count()

    def from_loader() -> int:
        return sum(len(images) for images, _ in loader)

    def from_feed() -> int:
        passes = (feed.shuffled(BATCH, 0, epoch) for epoch in islice(epochs, PASSES))
        return sum(len(batch.images) for batches in passes for batch in batches)

    from_loader()  # starts the workers
    task = f"Feed shuffled float batches of {BATCH} at {SIZE}x{SIZE}x3 to the CPU"
    other = f"DataLoader over ImageFolder + Resize + ToTensor, {WORKERS} workers"
    return compare(task, {other: from_loader, "sharpvae": from_feed}, repeats)


def peak(folder: Path) -> int:
    """Peak resident memory, in MiB, of this process after preparing the images of `folder`."""
    packed(folder, folder.with_name("peak_out"))
    return memory("VmHWM")


def page(options: argparse.Namespace) -> Iterator[str]:
    """The paragraphs of the results as Markdown."""
    number, many, repeats = (1_000, 5_000, 2) if options.quick else (10_000, 100_000, REPEATS)
    yield "# Preparing and feeding images"
    yield (
        "Made by `python -m benchmarks.data`; medians of alternating runs in one process.\n"
        "Preparing is the whole stage: list, choose, decode, resize, find duplicates, split, pack."
    )
    yield machine()
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        folder, prepared = photographs(top / "photographs", number), top / "prepared"
        plain = "loop over ImageFolder + Resize, one core"
        preparing: dict[str, Candidate] = {
            f"{plain}, images thrown away": lambda: loop(folder, keep=False),
            f"{plain}, pixels kept in an array": lambda: loop(folder, keep=True),
            "sharpvae": lambda: packed(folder, prepared),
        }
        rows = compare(
            f"Prepare {number:,} JPEGs of {SIDE}x{SIDE} to {SIZE}x{SIZE}", preparing, repeats
        )
        rows += feeding(folder, prepared, repeats)
        peaks = {
            images: apart(peak, photographs(top / str(images), images, SIZE))
            for images in (1_000, many)
        }
    yield markdown(["task", "torchvision", "images/s", "SharpVAE images/s", "ratio"], rows)
    shown = [(f"{images:,}", f"{mib:,} MiB") for images, mib in peaks.items()]
    yield markdown(["images prepared", "peak resident memory"], shown)
    yield f"Growth from 1,000 to {many:,} images: {peaks[many] - peaks[1_000]:,} MiB."


if __name__ == "__main__":
    sys.exit(run("data", __doc__, page))
