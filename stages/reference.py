"""From real images only: the judges of the panel, and the floors of every score."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from torch import Tensor

from sharpvae.core.config import load_stage
from sharpvae.core.console import bar, run
from sharpvae.core.devices import describe, select
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_split
from sharpvae.perception.config import ClassifierConfig
from sharpvae.perception.critic import halves, learn_half
from sharpvae.scoring import judges, reference
from sharpvae.scoring.config import ReferenceStage
from sharpvae.scoring.panel import members, save_reals

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")
FLOORS = Path("reports/floors.json")


def main() -> None:
    """Train the learned judge, measure the reals with the panel, then images of known faults."""
    config = load_stage(Path("configs/reference.json"), ReferenceStage)
    metrics, device = config.metrics, select(config.device)
    splits = {name: load_split(PREPARED, name) for name in ("train", "validation", "test")}
    feed = Feed(splits["train"], device)
    seen, unseen = halves(feed.count)
    judge, learned = train_judge(config.judge, feed, seen)
    held_out = splits["train"].images[unseen[: len(splits["test"].images)].numpy()]
    measured = reference.measure(
        members(metrics, feed.channels, judge),
        {name: splits[name].images for name in ("validation", "test")},
        splits["train"].images[seen.numpy()], held_out, learned, metrics, device,
    )  # fmt: skip
    with fresh_directory(REFERENCE) as directory:
        judges.save_learned(directory, judge, learned)
        save_reals(directory / "reals.npz", measured.scales, measured.features)
        write_json(directory / "reference.json", measured.description)
    write_json(FLOORS, measured.floors)
    for line in measured.warnings:
        print(line, flush=True)


def train_judge(
    config: ClassifierConfig, train: Feed, seen: Tensor
) -> tuple[judges.LearnedJudge, dict[str, Any]]:
    """Train the learned judge on its half of the training split => it, and its description."""
    print(f"judge on {describe(train.device)}: {len(seen)} images", flush=True)
    validation = Feed(load_split(PREPARED, "validation"), train.device)
    with bar("judge", config.epochs) as progress:
        network, description = learn_half(
            judges.LearnedJudge, train, validation, seen, config, judges.PURPOSE,
            report=lambda _, loss: progress.advance(note=f"loss {loss:.4f}"),
        )  # fmt: skip
    right = f"{description['accuracy']:.1%} of the validation {description['task']} right"
    print(f"judge: {right}", flush=True)
    return network, {**description, "validated_on": validation.count}


if __name__ == "__main__":
    run(main, sys.argv)
