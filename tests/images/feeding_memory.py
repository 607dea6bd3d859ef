"""Run by `test_batches`: feed from a file of so many MB, print by how many KiB memory grew at most.

Anonymous memory alone: pages of the mapped file are the page cache's, and can go at any time.
"""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_split, write_images

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
    shape = (count, SIDE, SIDE, 3)
    chunk = np.ones((1000, SIDE, SIDE, 3), dtype=np.uint8)
    chunks = (chunk[: count - start] for start in range(0, count, 1000))
    write_images(directory, "train", shape, chunks)
    return Feed(load_split(directory, "train"), torch.device("cpu"))


with tempfile.TemporaryDirectory() as name:
    warm = most(feed(Path(name) / "small", 4))
    print(most(feed(Path(name) / "large", int(sys.argv[1]))) - warm)
