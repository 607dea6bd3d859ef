"""Run by `test_pack`: prepare a folder of N large noise images, print the peak memory in KiB."""

import re
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from sharpvae.core.console import Progress
from sharpvae.datasets.config import DataConfig, Minimum
from sharpvae.datasets.pack import prepare

with tempfile.TemporaryDirectory() as name:
    top = Path(name)
    (top / "images").mkdir()
    (top / "out").mkdir()
    for index in range(int(sys.argv[1])):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(top / "images" / f"{index}.bmp")
    config = DataConfig(
        name="folder", path=str(top / "images"), mirror=None, image_size=64, fit="stretch",
        subset=None, classes=None, binarize=None, validation_fraction=0.1, test_fraction=0.2,
        strict=False, seed=0,
    )  # fmt: skip
    few = Minimum(train=1, validation=1, test=1)
    prepare(config, few, top / "raw", top / "out", Progress())
# Not getrusage: its maximum still has the parent's memory from before the exec.
print(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
