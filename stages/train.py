"""Train one VAE: one variant, one seed; from its last checkpoint where it was interrupted."""

from __future__ import annotations

import sys
from pathlib import Path

from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import keep_memory, select
from sharpvae.distributed import processes
from sharpvae.distributed.launch import launch
from sharpvae.training.config import TrainStage
from sharpvae.training.run import errors_once, train

_TIMEOUT = 1800.0  # seconds that processes wait for each other: the first may be at its FID


def main(variant: str, seed: str) -> None:
    """Train, film, and write the VAE with the history of its terms."""
    config = load_stage(Path("configs") / variant / "train.json", TrainStage)
    machines = config.train
    if machines.processes > 1 and not processes.launched():
        command = [sys.executable, "-m", "stages.train", variant, seed]
        launch(command, machines.devices, machines.nodes, config.device)
        return
    keep_memory()
    with processes.joined(select(config.device), _TIMEOUT) as device, errors_once(config):
        train(config, int(seed), device)


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
