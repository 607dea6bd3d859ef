"""Images that somebody has already sorted into `train`, `test` and perhaps `validation`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sharpvae.datasets.image_files import Layout
from sharpvae.datasets.pool import TEST, TRAIN, VALIDATION
from sharpvae.errors import UserError

_MEANING = {
    "train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION,
    "validation": VALIDATION, "test": TEST, "testing": TEST,
}  # fmt: skip


@dataclass(frozen=True)
class Sorted:
    """How the files of a layout are sorted.

    Attributes:
        class_names: of the folders within the splits, sorted; None where there are none.
        labels: int64 [N], or None.
        own_split: int8 [N], positions in SPLITS; None where no folder is named like a split.
    """

    class_names: tuple[str, ...] | None
    labels: NDArray[np.int64] | None
    own_split: NDArray[np.int8] | None


def sort_out(found: Layout, place: str) -> Sorted:
    """Read splits and classes off the folders: `train/cat/1.png`, `train/1.png` or `cat/1.png`.

    Folders are splits where all of them are named like one, and one is for training.

    Raises:
        UserError: within splits some images lie in class folders and others do not.
    """
    parts = [name.split("/") for name in found.files]
    splits = [_MEANING.get(name.lower()) for name in found.class_names or ()]
    if None in splits or TRAIN not in splits or len(splits) < 2:
        if found.class_names is None:
            return Sorted(None, None, None)
        return _labelled([folder for folder, *_ in parts], None)
    own = np.array([_MEANING[folder.lower()] for folder, *_ in parts], dtype=np.int8)
    deep = [len(names) > 2 for names in parts]
    if not any(deep):
        return Sorted(None, None, own)
    if not all(deep):
        loose = found.files[deep.index(False)]
        raise UserError(
            f"{place}/{loose}", "an image in a class folder, as others are", "one beside them",
            "move it into a class folder, or move all images out of them",
        )  # fmt: skip
    return _labelled([names[1] for names in parts], own)


def _labelled(folders: list[str], own_split: NDArray[np.int8] | None) -> Sorted:
    names = sorted(set(folders))
    label = {name: index for index, name in enumerate(names)}
    labels = np.array([label[folder] for folder in folders], dtype=np.int64)
    return Sorted(tuple(names), labels, own_split)
