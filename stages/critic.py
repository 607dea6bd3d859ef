"""Train the network whose features a perceptual loss compares."""

from __future__ import annotations

import sys
from pathlib import Path

from sharpvae.core.config import load_stage
from sharpvae.core.console import bar, run
from sharpvae.core.devices import describe, select
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.core.threads import use_threads
from sharpvae.core.weights import save_weights
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_split
from sharpvae.perception.config import CriticStage
from sharpvae.perception.critic import PURPOSE, Critic, CriticFeatures, halves, learn_half
from sharpvae.perception.distances import feature_variances

PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")
VARIANCE_IMAGES = 512  # images from which the scale of each layer is measured


def main() -> None:
    """Train on the half of the training split that the judge never sees."""
    config = load_stage(Path("configs/critic.json"), CriticStage)
    use_threads(config.threads)
    device = select(config.device)
    train = Feed(load_split(PREPARED, "train"), device)
    validation = Feed(load_split(PREPARED, "validation"), device)
    _, half = halves(train.count)
    print(f"critic on {describe(device)}: {len(half)} images", flush=True)
    with bar("critic", config.critic.epochs) as progress:
        critic, description = learn_half(
            Critic,
            train,
            validation,
            half,
            config.critic,
            PURPOSE,
            report=lambda _, loss: progress.advance(note=f"loss {loss:.4f}"),
        )
    print(
        f"critic: {description['accuracy']:.1%} of the validation {description['task']} right",
        flush=True,
    )
    images = train.take(half[:VARIANCE_IMAGES]).images.contiguous()  # as the weights lie
    description["feature_variances"] = feature_variances(CriticFeatures(critic), images)
    with fresh_directory(CRITIC) as directory:
        save_weights(directory / "critic.safetensors", critic)
        write_json(directory / "critic.json", description)


if __name__ == "__main__":
    run(main, sys.argv)
