"""Train the network whose features a perceptual loss compares."""

from __future__ import annotations

from pathlib import Path

from sharpvae.config.stage_files import CriticStage, load_stage
from stages.console import run

PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")
VARIANCE_IMAGES = 512  # images from which the scale of each layer is measured


def main() -> None:
    """Train on the half of the training split that the judge never sees."""
    config = load_stage(Path("configs/critic.json"), CriticStage)
    from sharpvae.artefacts import fresh_directory, write_json
    from sharpvae.datasets.batches import Feed
    from sharpvae.datasets.packed import load_split
    from sharpvae.devices import describe, select
    from sharpvae.networks.critic import PURPOSE, Critic, CriticFeatures
    from sharpvae.objective.perceptual import feature_variances
    from sharpvae.training.classifier import halves, learn_half
    from sharpvae.weights import save_weights
    from stages.progress import bar

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
    run("stages.critic", main)
