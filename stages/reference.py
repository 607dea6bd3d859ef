"""From real images only: the judges of the panel, and the floors of every score."""

from __future__ import annotations

import sys
from pathlib import Path

from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.core.threads import use_threads
from sharpvae.images.packed import SPLITS, load_split
from sharpvae.scoring import reference
from sharpvae.scoring.config import ReferenceStage

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")
FLOORS = Path("reports/floors.json")


def main() -> None:
    """Train the learned judge, measure the reals with the panel, then images of known faults."""
    config = load_stage(Path("configs/reference.json"), ReferenceStage)
    use_threads(config.threads)
    splits = {name: load_split(PREPARED, name) for name in SPLITS}
    device = select(config.device)
    with fresh_directory(REFERENCE) as directory:
        judge = reference.train_judge(config.judge, splits, device)
        measured = reference.build(directory, splits, *judge, config.metrics, device)
    write_json(FLOORS, measured.floors)
    for line in measured.warnings:
        print(line, flush=True)


if __name__ == "__main__":
    run(main, sys.argv)
