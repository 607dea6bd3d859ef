"""Floors and ceilings: images of known faults, and what each metric makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sharpvae.scoring.measures import blurred

Images = NDArray[np.uint8]
Goal = Literal["lower", "higher", "one", "zero"]
Sight = Literal["fooled", "blind"]

FLOORS = (
    "real", "blur_1", "blur_2", "noise", "blur_noise", "blur_checkerboard", "dim", "mean_image",
    "duplicates",
)  # fmt: skip
NOISE = 0.1  # standard deviation, of pixels in [0, 1]
CHECKERBOARD = 0.05  # amplitude, alternating from pixel to pixel
DIM = 0.7
_BLOCK = 10_000  # images that are held at a time
DUPLICATES = 100  # training images, repeated until there are as many as of the others

# (better, worse): what a metric must see, or is said not to. The second has all the faults of the
# first and one more.
ORDER = (
    ("real", "blur_1"), ("blur_1", "blur_2"), ("real", "noise"), ("blur_1", "blur_noise"),
    ("blur_1", "blur_checkerboard"), ("real", "dim"), ("real", "mean_image"),
    ("real", "duplicates"),
)  # fmt: skip
UNMOVED = 0.1  # relative change below which a metric counts as blind to a fault

GOALS: dict[str, Goal] = {
    "fid": "lower", "kid": "lower", "sharpness": "one", "sharpness_normalised": "one",
    "sharpness_spread": "lower", "gradient_sharpness": "one", "blur_px": "lower",
    "artefact": "lower", "precision": "higher", "recall": "higher", "density": "higher",
    "coverage": "higher", "distinct": "higher", "nn_ratio": "one", "copied": "lower",
    "brightness_gap": "zero", "contrast_gap": "zero",
}  # fmt: skip


@dataclass(frozen=True)
class Chosen:
    """Some images of a split, read when they are asked for."""

    images: Images
    rows: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, which: slice | NDArray[np.int64], /) -> Images:
        return self.images[self.rows[which]]


def floor_images(train: Images | Chosen, held_out: Images) -> dict[str, Images]:
    """What a generator of known faults would have made, as many images as `held_out` has.

    Args:
        train: uint8 (M, H, W, C), the training split; its mean and its first images are used.
        held_out: uint8 (N, H, W, C), real images that no judge has learned from.

    Returns:
        A set for each of `FLOORS`: uint8 (N, H, W, C).
    """
    random = np.random.default_rng(0)
    noise = 255 * NOISE * random.standard_normal(held_out.shape)
    sign = np.indices(held_out.shape[1:3]).sum(axis=0) % 2 * 2 - 1
    board = 255 * CHECKERBOARD * sign[None, :, :, None]
    smooth = blurred(held_out, 1.0)
    total = sum(  # a few at a time
        train[start : start + _BLOCK].sum(axis=0, dtype=np.float64)
        for start in range(0, len(train), _BLOCK)
    )
    mean = np.round(total / len(train)).astype(np.uint8)
    few = min(DUPLICATES, max(1, len(held_out) // 10))
    return {
        "real": held_out,
        "blur_1": smooth,
        "blur_2": blurred(held_out, 2.0),
        "noise": _bytes(held_out + noise),
        "blur_noise": _bytes(smooth + noise),
        "blur_checkerboard": _bytes(smooth + board),
        "dim": _bytes(held_out * DIM),
        "mean_image": np.broadcast_to(mean, held_out.shape),
        "duplicates": train[np.arange(len(held_out)) % few],
    }


def _bytes(values: NDArray[np.floating]) -> Images:
    return np.round(values).clip(0, 255).astype(np.uint8)


def badness(value: float, goal: Goal) -> float:
    """How far from the goal, >= 0 for all but density; of two values the better has the lower."""
    if goal in ("one", "zero"):
        return abs(value - (1.0 if goal == "one" else 0.0))
    return 1.0 - value if goal == "higher" else value


def faults(
    floors: Mapping[str, float], goal: Goal, chance: float | None = None
) -> dict[str, Sight]:
    """What one metric does not see on this data.

    Args:
        floors: its value for each of `FLOORS`; a floor that it cannot be computed for is absent.
        chance: a change that may be one; three times the value of real images unless given, as for
            distances that few images bias: theirs is large and hardly varies.

    Returns:
        floor -> `fooled` where the fault improves the metric, `blind` where it hardly moves it.
    """
    found: dict[str, Sight] = {}
    levels = {name: badness(value, goal) for name, value in floors.items()}
    own, bias = levels.get("real", 0.0), 0.0
    if chance is None:
        chance = 3 * own  # what two samples of real images differ by, and more
    else:
        bias = own
    for better, worse in ORDER:
        if better not in levels or worse not in levels:
            continue
        least = max(UNMOVED * abs(levels[better] - bias), chance)
        if levels[worse] < levels[better] - least:
            found[worse] = "fooled"
        elif levels[worse] <= levels[better] + least:
            found[worse] = "blind"
    return found
