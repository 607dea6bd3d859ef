"""Whether a conditional model draws what it is asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sharpvae.artefacts import read_json
from sharpvae.metrics.judge import classify, load_judge


def class_agreement(asked: NDArray[np.int64], judged: NDArray[np.int64]) -> float:
    """Share of images in which a classifier of real images sees the class that was asked for.

    The classifier errs too: on real images it agrees with the label as often as its accuracy says.
    int64 (N,) twice, N at least 1 => 0..1
    """
    return float((asked == judged).mean())


def judged_agreement(
    drawn: Path, images: NDArray[np.uint8], reference: Path, batch_size: int, device: torch.device
) -> float | None:
    """`class_agreement` of the samples that one run drew.

    Args:
        drawn: directory of the run's samples; labels.npy holds the classes asked for.
        images: uint8 (N, H, W, C), the samples.
        reference: directory of the judge.

    Returns:
        None for an unconditional model, and where there is no judge of classes.
    """
    asked, description = drawn / "labels.npy", reference / "judge.json"
    if not asked.exists() or not description.exists():
        return None
    if read_json(description)["task"] != "labels":
        return None
    return class_agreement(
        np.load(asked), classify(load_judge(reference), images, batch_size, device)
    )
