"""From real images only: the judge, the statistics of the reals, and the floors of the scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from sharpvae.core.config import load_stage
from sharpvae.core.console import bar, run
from sharpvae.core.devices import describe, select
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_split
from sharpvae.perception.config import ClassifierConfig
from sharpvae.perception.critic import halves, learn_half
from sharpvae.scoring import judge, measures
from sharpvae.scoring.config import ReferenceStage

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")


def main() -> None:
    """Train the judge where it is used, then measure the reals with it."""
    config = load_stage(Path("configs/reference.json"), ReferenceStage)
    metrics, device = config.metrics, select(config.device)
    train, test = load_split(PREPARED, "train"), load_split(PREPARED, "test")
    seen, unseen = halves(len(train.images))
    with fresh_directory(REFERENCE) as directory:
        learned = None
        if metrics.features == "judge":
            learned = train_judge(config.judge, Feed(train, device), seen, directory)
        extractor = judge.load_extractor(metrics, directory, device)
        real = judge.extract(extractor, test.images, metrics.batch_size, device)
        sharpness = measures.laplacian_variance(test.images)
        half = train.images[unseen[: len(real)].numpy()]
        floors = {}
        for name, images in measures.floor_images(train.images, half).items():
            fake = judge.extract(extractor, images, metrics.batch_size, device)
            ratio = measures.laplacian_variance(images).mean() / sharpness.mean()
            floors[name] = {**judge.fidelity(metrics, real, fake), "sharpness": float(ratio)}
        floors["blurred"]["sigma"] = measures.blur_sigma(test.images)
        np.savez(directory / "features.npz", test=real)
        np.savez(directory / "per_image.npz", sharpness=sharpness)
        write_json(directory / "reference.json", {
            "sharpness": float(sharpness.mean()),
            **vars(measures.exposure(test.images)),
            "floors": floors,
            "judge": learned,
            "protocol": judge.protocol(metrics, len(half), len(real), real.shape[1]),
        })  # fmt: skip


def train_judge(
    config: ClassifierConfig, train: Feed, seen: Tensor, directory: Path
) -> dict[str, Any]:
    """Train the judge on its half of the training split and write it; what the report says."""
    print(f"judge on {describe(train.device)}: {len(seen)} images", flush=True)
    validation = Feed(load_split(PREPARED, "validation"), train.device)
    with bar("judge", config.epochs) as progress:
        network, description = learn_half(
            judge.Judge, train, validation, seen, config, judge.PURPOSE,
            report=lambda _, loss: progress.advance(note=f"loss {loss:.4f}"),
        )  # fmt: skip
    right = f"{description['accuracy']:.1%} of the validation {description['task']} right"
    print(f"judge: {right}", flush=True)
    judge.save_judge(directory, network, description)
    return {name: description[name] for name in ("task", "accuracy", "images")}


if __name__ == "__main__":
    run(main, sys.argv)
