"""Run by `test_batches`: feed from a file of so many MB, print by how many KiB memory grew at most.

Anonymous memory alone: pages of the mapped file are the page cache's, and can go at any time.
"""

import re
import sys
import tempfile
from pathlib import Path

import torch

from sharpvae.datasets.batches import Feed
from sharpvae.datasets.packed import create_split, load_split

SIDE = 64


def anonymous() -> int:
    """KiB of this process that no file backs."""
    return int(re.findall(r"RssAnon:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def most(feed: Feed) -> int:
    """The most KiB in use during one epoch in random order and one in order."""
    peak = 0
    for batches in (feed.shuffled(64, 0, 1, flip=True), feed.in_order(64)):
        for number, batch in enumerate(batches):
            assert batch.images.sum() > 0
            peak = max(peak, anonymous()) if number % 16 == 0 else peak
    return peak


def feed(directory: Path, megabytes: int) -> Feed:
    """A feed from a file of its own."""
    directory.mkdir()
    count = megabytes * 2**20 // (SIDE * SIDE * 3)
    images = create_split(directory, "train", (count, SIDE, SIDE, 3))
    for start in range(0, count, 1000):
        images[start : start + 1000] = 1 + start % 255
    return Feed(load_split(directory, "train"), torch.device("cpu"))


with tempfile.TemporaryDirectory() as name:
    warm = most(feed(Path(name) / "small", 4))
    print(most(feed(Path(name) / "large", int(sys.argv[1]))) - warm)
