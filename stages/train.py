"""Train one VAE: one variant, one seed; from its last checkpoint where it was interrupted."""

from __future__ import annotations

import sys
from pathlib import Path

from sharpvae.core.config import GivenStage, load_given, load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import keep_memory, select
from sharpvae.core.files import fresh_directory, write_json, write_text
from sharpvae.core.threads import use_threads
from sharpvae.distributed import processes
from sharpvae.distributed.launch import launch
from sharpvae.training.config import TrainStage
from sharpvae.training.run import HISTORY, errors_once, train

_TIMEOUT = 1800.0  # seconds that processes wait for each other: the first may be at its FID


def main(variant: str, seed: str) -> None:
    """Train, film, and write the VAE with the history of its terms."""
    path = Path("configs") / variant / "train.json"
    if (given := load_given(path)) is not None:
        train_nothing(given, seed)
        return
    config = load_stage(path, TrainStage)
    machines = config.train
    if machines.processes > 1 and not processes.launched():
        command = [sys.executable, "-m", "stages.train", variant, seed]
        launch(command, machines.devices, machines.nodes, config.device)
        return
    use_threads(max(1, config.threads // machines.devices))
    keep_memory()
    with processes.joined(select(config.device), _TIMEOUT) as device, errors_once(config):
        train(config, int(seed), device)


def train_nothing(given: GivenStage, seed: str) -> None:
    """Write the outputs of a variant that is images made elsewhere, which say so."""
    run = Path(given.variant) / seed
    with (
        fresh_directory(Path("reports/film") / run),
        fresh_directory(Path("reports/live") / run),
        fresh_directory(Path("models") / run) as directory,
    ):
        write_json(directory / "summary.json", {"trained": False, "samples": given.samples})
        write_text(directory / "history.csv", ",".join(HISTORY) + "\n")
    print(f"{given.variant}, seed {seed}: nothing to train, its samples are {given.samples}")


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
