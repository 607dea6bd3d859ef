"""What is measured once of real images that somebody brings: judges, floors, and their cache."""

from __future__ import annotations

import hashlib
import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sharpvae.core.config import Section
from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded, fresh_directory, read_json, unwritable, write_json
from sharpvae.datasets.given import Given
from sharpvae.images.packed import Split, SplitName
from sharpvae.perception.config import ClassifierConfig
from sharpvae.scoring import judges, reference
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.measures import digests

# As params.yaml has them.
JUDGE = ClassifierConfig(widths=[16, 32, 64], epochs=6, lr=3e-3, batch_size=16, seed=1000)
METRICS = MetricsConfig(
    features="panel", weights=None, batch_size=32, kid_subsets=20, kid_subset_size=None,
    neighbours=None, active_threshold=0.01,
)  # fmt: skip
LEAST = 100  # real images
MOST = 5000  # test images: a judge needs a millisecond or more for each, and there are nine floors,
_MOST_VALUES = 1 << 28  # which hold so many pixels together at most, as noise of 2 GB
_VALIDATION_LEAST = 20
FLOORS = "floors.json"


class Reals(NamedTuple):
    """Real images in three parts, and where what was measured of them lies.

    Attributes:
        splits: `test`, which scores compare with; `validation`, on which judges are weighed;
            `train`, of which one half taught the learned judge and the other makes the floors.
        repeated: images that were left out, for they equal another one.
        measured: the folder that `sharpvae.scoring.reference.build` wrote, and floors.json.
    """

    splits: dict[SplitName, Split]
    repeated: int
    measured: Path


def measured(given: Given, count: int, device: torch.device, where: str) -> Reals:
    """Split real images and measure them, unless the cache has them.

    Args:
        count: images in the smallest set that is scored; floors have as many, for few images make
            every distance larger.
        where: what messages call the images.

    Raises:
        UserError: too few images, not square, or all alike to a judge; the cache is full.
    """
    images, labels, repeated = _without_repeats(given)
    _require(images, repeated, where)
    splits = _split(images, labels)
    count = min(count, len(splits["test"].images), len(splits["train"].images) // 2)
    own = _digest(splits)
    folder = cache() / _key(own, JUDGE, METRICS, count)
    judge = cache() / _key(own, JUDGE)  # the same, however many images the floors have
    if not (folder / FLOORS).exists():
        try:
            if not (judge / judges.DESCRIPTION).exists():
                with fresh_directory(judge) as directory:
                    judges.save_learned(directory, *reference.train_judge(JUDGE, splits, device))
            with fresh_directory(folder) as directory:
                _measure(directory, judge, splits, count, device, where)
        except OSError as error:
            raise unwritable(cache(), "what is measured of real images", 0, error) from None
    return Reals(splits, repeated, folder)


def _measure(
    directory: Path, judge: Path, splits: dict[SplitName, Split], count: int,
    device: torch.device, where: str,
) -> None:  # fmt: skip
    learned = judges.load_learned(judge), read_json(judge / judges.DESCRIPTION)
    try:
        found = reference.build(directory, splits, *learned, METRICS, device, count)
    except UserError as error:  # which names keys of params.yaml
        raise UserError(where, error.expected, error.found, "give other images") from None
    write_json(directory / FLOORS, found.floors)
    for line in found.warnings:
        print(line, flush=True)


def cache() -> Path:
    """The folder of what was measured; a folder that is removed there is measured again."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expanded(home) / "sharpvae" / "reals"


def _require(images: NDArray[np.uint8], repeated: int, where: str) -> None:
    if len(images) < LEAST:
        left_out = f", {repeated} of them more than once" if repeated else ""
        raise UserError(
            where, f"at least {LEAST} real images, to be set apart for judges and floors",
            f"{len(images) + repeated}{left_out}", "give more, best what the model learned from",
        )  # fmt: skip
    height, width = images.shape[1:3]
    if height != width:
        raise UserError(
            where, "square images", f"{width}x{height} pixels", "crop both sets alike to squares"
        )


def _without_repeats(given: Given) -> tuple[NDArray[np.uint8], NDArray[np.int64] | None, int]:
    """Each image once: one that stands in two parts would look like a copy."""
    first: dict[bytes, int] = {}
    for index, digest in enumerate(digests(given.images)):
        first.setdefault(digest, index)
    repeated = len(given.images) - len(first)
    if not repeated:
        return given.images, given.labels, 0
    kept = list(first.values())
    labels = None if given.labels is None else given.labels[kept]
    return given.images[kept], labels, repeated


def _split(images: NDArray[np.uint8], labels: NDArray[np.int64] | None) -> dict[SplitName, Split]:
    """A fifth to compare with, a tenth to weigh judges, the rest for the judge and the floors."""
    order = np.random.default_rng(0).permutation(len(images))
    most = min(MOST, max(LEAST, _MOST_VALUES // images[0].size))
    test = min(len(images) // 5, most)
    validation = test + min(max(len(images) // 10, _VALIDATION_LEAST), most // 2)
    parts: dict[SplitName, NDArray[np.int64]] = {
        "train": order[validation:], "validation": order[test:validation], "test": order[:test],
    }  # fmt: skip
    return {
        name: Split(images[rows], None if labels is None else labels[rows])
        for name, rows in parts.items()
    }


def _digest(splits: dict[SplitName, Split]) -> str:
    """Of the images and labels of all parts."""
    digest = hashlib.sha256()
    for split in splits.values():
        digest.update(str(split.images.shape).encode())
        digest.update(np.ascontiguousarray(split.images).data)
        if split.labels is not None:
            digest.update(split.labels.tobytes())
    return digest.hexdigest()


def _key(images: str, *settings: Section | int) -> str:
    """A name for what depends on these images and settings, and on this version."""
    values = [one.model_dump() if isinstance(one, Section) else one for one in settings]
    whole = json.dumps([version("sharpvae"), images, *values])
    return hashlib.sha256(whole.encode()).hexdigest()[:32]
