"""How fast data is prepared and fed, against torchvision's own ways, and in how much memory.

    python -m benchmarks.data            about five minutes; writes benchmarks/data.md
    python -m benchmarks.data --quick    a tenth of the images, prints only

Photographs are made on the spot: soft random colours with noise on them, JPEG of Pillow's default
quality, 3.6 KB in the mean (4317 real flowers of this size: 2.8 KB). Each pair of rates is measured
alternately in one process, so that both see the same machine.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import Compose, Resize, ToTensor

from benchmarks.measuring import machine, markdown, memory, memory_of, rates
from sharpvae.core.console import Silent
from sharpvae.datasets.config import DataConfig, Minimum
from sharpvae.datasets.pack import prepare
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_split

SIDE, SIZE, CLASSES = 128, 64, 10  # pixels of a photograph, pixels wanted, class folders
BATCH, WORKERS, REPEATS = 64, 2, 7
TABLE = Path(__file__).with_name("data.md")


def photographs(folder: Path, count: int, side: int = SIDE) -> Path:
    """`count` different JPEGs in class folders."""
    rng = np.random.default_rng(0)
    for index in range(count):
        coarse = rng.integers(0, 256, (9, 9, 3), dtype=np.uint8)
        soft = np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
        noisy = soft + rng.normal(0, 5, (side, side, 1))
        path = folder / f"class{index % CLASSES}" / f"{index:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def packed(folder: Path, into: Path, size: int = SIZE) -> None:
    """Everything that the stage `prepare` does."""
    config = DataConfig(
        name="folder", path=str(folder), mirror=None, image_size=size, fit="crop", subset=None,
        classes=None, validation_fraction=0.1, test_fraction=0.2, strict=True, seed=0,
    )  # fmt: skip
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    prepare(config, Minimum(train=1, validation=1, test=1), into / "raw", into, Silent())


def plain_loop(folder: Path) -> None:
    """What one writes first: decode and resize, image by image, on one core."""
    for _ in ImageFolder(folder, transform=Resize((SIZE, SIZE))):
        pass


def kept_loop(folder: Path) -> None:
    """The same, with the pixels kept in one array: the least that preparing has to deliver."""
    images = ImageFolder(folder, transform=Resize((SIZE, SIZE)))
    array = np.empty((len(images), SIZE, SIZE, 3), dtype=np.uint8)
    for index, (image, _) in enumerate(images):
        array[index] = image


def preparing(folder: Path, count: int, into: Path, repeats: int) -> dict[str, float]:
    """Images a second of the plain loops and of `prepare`."""
    return rates(
        {
            "torchvision": lambda: (plain_loop(folder), count)[1],
            "torchvision, kept": lambda: (kept_loop(folder), count)[1],
            "sharpvae": lambda: (packed(folder, into), count)[1],
        },
        repeats,
    )


def feeding(folder: Path, prepared: Path, repeats: int) -> dict[str, float]:
    """Images a second of a DataLoader with workers and of batches from the packed array."""
    transform = Compose([Resize((SIZE, SIZE)), ToTensor()])
    dataset = ImageFolder(folder, transform=transform)
    loader = DataLoader(
        dataset, BATCH, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )
    feed = Feed(load_split(prepared, "train"), torch.device("cpu"))
    epochs = iter(range(10**9))

    def from_loader() -> int:
        return sum(len(images) for images, _ in loader)

    def from_feed() -> int:
        passes = 10  # one pass takes too little time to be measured
        return sum(
            len(batch.images)
            for _ in range(passes)
            for batch in feed.shuffled(BATCH, seed=0, epoch=next(epochs))
        )

    from_loader()  # starts the workers
    return rates({"torchvision": from_loader, "sharpvae": from_feed}, repeats)


def preparing_memory(folder: Path, count: int, side: int) -> int:
    """Peak resident memory, in MiB, of a process that prepares `count` photographs."""
    photographs(folder, count, side)
    return memory_of("benchmarks.data", "--peak", str(folder))[0]


def table(count: int, made: dict[str, float], fed: dict[str, float], peaks: dict[int, int]) -> str:
    """The results as Markdown."""
    prepare_task = f"Prepare {count:,} JPEGs of {SIDE}x{SIDE} to {SIZE}x{SIZE}"
    loop = "loop over ImageFolder + Resize, one core"
    feed_task = f"Feed shuffled float batches of {BATCH} at {SIZE}x{SIZE}x3 to the CPU"
    loader = f"DataLoader over ImageFolder + Resize + ToTensor, {WORKERS} workers"
    rows = [
        (prepare_task, f"{loop}, images thrown away", made, "torchvision"),
        (prepare_task, f"{loop}, pixels kept in an array", made, "torchvision, kept"),
        (feed_task, loader, fed, "torchvision"),
    ]
    lines = []
    for task, other, found, name in rows:
        ours, theirs = found["sharpvae"], found[name]
        lines.append((task, other, f"{theirs:,.0f}", f"{ours:,.0f}", f"{ours / theirs:.1f}"))
    few, many = sorted(peaks)
    head = ["task", "torchvision", "images/s", "SharpVAE images/s", "ratio"]
    sizes = [(f"{images:,}", f"{peaks[images]:,} MiB") for images in (few, many)]
    text = [
        "# Preparing and feeding images", "",
        "Made by `python -m benchmarks.data`; medians of alternating runs in one process.",
        "Preparing is the whole stage: list, choose, decode, resize, find duplicates, split, pack.",
        "", f"Machine: {machine()}", "", *markdown(head, lines),
        *markdown(["images prepared", "peak resident memory"], sizes),
        f"Growth from {few:,} to {many:,} images: {peaks[many] - peaks[few]:,} MiB.", "",
    ]  # fmt: skip
    return "\n".join(text)


def main() -> None:
    """Measure, print, and keep the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peak", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        packed(options.peak, options.peak.with_name("peak_out"))
        print(memory("VmHWM"))
        return
    count, many, repeats = (1_000, 5_000, 2) if options.quick else (10_000, 100_000, REPEATS)
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        folder = photographs(top / "photographs", count)
        made = preparing(folder, count, top / "prepared", repeats)
        fed = feeding(folder, top / "prepared", repeats)
        peaks = {n: preparing_memory(top / f"many{n}", n, SIZE) for n in (1_000, many)}
    text = table(count, made, fed, peaks)
    print(text)
    if not options.quick:
        TABLE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
