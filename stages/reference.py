"""From real images only: the judge, the statistics of the reals, and the floors of the scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sharpvae.core.config import load_stage
from sharpvae.core.console import bar, run
from sharpvae.core.devices import describe, select
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.images.feed import Feed
from sharpvae.images.packed import Split, load_split
from sharpvae.perception.critic import halves, learn_half
from sharpvae.perception.fidelity import fid, kid
from sharpvae.scoring.config import ReferenceStage
from sharpvae.scoring.judge import PURPOSE, Judge, extract, load_extractor, protocol, save_judge
from sharpvae.scoring.measures import blurred, exposure, laplacian_variance

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")


def main() -> None:
    """Train the judge where it is used, then measure the reals with it."""
    config = load_stage(Path("configs/reference.json"), ReferenceStage)

    device = select(config.device)
    train, test = load_split(PREPARED, "train"), load_split(PREPARED, "test")
    seen, unseen = halves(len(train.images))
    with fresh_directory(REFERENCE) as directory:
        judge = None
        if config.metrics.features == "judge":
            judge = train_judge(config, train, seen, device, directory)
        extractor = load_extractor(config.metrics, directory, device)

        def features(images: NDArray[np.uint8]) -> NDArray[np.float64]:
            return extract(extractor, images, config.metrics.batch_size, device)

        real, sharpness = features(test.images), laplacian_variance(test.images)
        stand_ins = floor_images(train.images, unseen, len(test.images))
        floors = {
            name: floor(config, real, features(images), images, sharpness.mean())
            for name, images in stand_ins.items()
        }
        floors["blurred"]["sigma"] = blur_sigma(test.images)
        np.savez(directory / "features.npz", test=real)
        np.savez(directory / "per_image.npz", sharpness=sharpness)
        write_json(
            directory / "reference.json",
            {
                "sharpness": float(sharpness.mean()),
                **vars(exposure(test.images)),
                "floors": floors,
                "judge": judge,
                "protocol": protocol(
                    config.metrics, len(stand_ins["train_half"]), len(real), real.shape[1]
                ),
            },
        )


def train_judge(
    config: ReferenceStage, train: Split, seen: torch.Tensor, device: torch.device, directory: Path
) -> dict[str, Any]:
    """Train the judge on its half of the training split and write it; what the report says."""

    print(f"judge on {describe(device)}: {len(seen)} images", flush=True)
    with bar("judge", config.judge.epochs) as progress:
        judge, description = learn_half(
            Judge,
            Feed(train, device),
            Feed(load_split(PREPARED, "validation"), device),
            seen,
            config.judge,
            PURPOSE,
            report=lambda _, loss: progress.advance(note=f"loss {loss:.4f}"),
        )
    print(
        f"judge: {description['accuracy']:.1%} of the validation {description['task']} right",
        flush=True,
    )
    save_judge(directory, judge, description)
    return {name: description[name] for name in ("task", "accuracy", "images")}


def blur_sigma(images: NDArray[np.uint8]) -> float:
    """The blur of the blurred floor in pixels: 1 at 32x32, in proportion elsewhere."""
    return images.shape[1] / 32


def floor_images(
    train: NDArray[np.uint8], unseen: torch.Tensor, count: int
) -> dict[str, NDArray[np.uint8]]:
    """What a generator of known quality would have made, `count` images each where there are.

    `train_half` are real images that the judge has not seen; `blurred` the same, blurred;
    `mean_image` repeats the mean of the training split.
    """

    half = train[unseen[:count].numpy()]
    mean = np.round(train.mean(axis=0, dtype=np.float64)).astype(np.uint8)
    return {
        "train_half": half,
        "blurred": blurred(half, blur_sigma(half)),
        "mean_image": np.broadcast_to(mean, (len(half), *mean.shape)),
    }


def floor(
    config: ReferenceStage,
    real: NDArray[np.float64],
    fake: NDArray[np.float64],
    images: NDArray[np.uint8],
    real_sharpness: float,
) -> dict[str, float]:
    """The scores of one stand-in against the real test split."""

    metrics = config.metrics
    return {
        "fid": fid(real, fake),
        "kid": kid(real, fake, metrics.kid_subsets, metrics.kid_subset_size),
        "sharpness": float(laplacian_variance(images).mean() / real_sharpness),
    }


if __name__ == "__main__":
    run(main, sys.argv)
