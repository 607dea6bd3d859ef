"""Train the network whose features a perceptual loss compares."""

from __future__ import annotations

from pathlib import Path

from sharpvae.config.stage_files import CriticStage, load_stage
from stages.console import run

PREPARED, CRITIC = Path("data/prepared"), Path("models/critic")


def main() -> None:
    """Train on the half of the training split that the judge never sees."""
    config = load_stage(Path("configs/critic.json"), CriticStage)
    import torch

    from sharpvae.artefacts import fresh_directory, write_json
    from sharpvae.datasets.batches import to_device, to_float
    from sharpvae.datasets.packed import load_split
    from sharpvae.devices import describe, select
    from sharpvae.networks.critic import Critic, CriticFeatures
    from sharpvae.objective.perceptual import feature_variances
    from sharpvae.randomness import global_seed
    from sharpvae.training.classifier import accuracy, halves, task_for, train_classifier
    from sharpvae.weights import save_weights
    from stages.progress import bar

    device = select(config.device)
    train, validation = load_split(PREPARED, "train"), load_split(PREPARED, "validation")
    _, half = halves(len(train.images))
    images = to_device(train.images[half.numpy()], device)
    labels = None if train.labels is None else torch.from_numpy(train.labels[half.numpy()])
    task = task_for(None if train.labels is None else torch.from_numpy(train.labels))
    with global_seed(config.critic.seed, "critic"):
        critic = Critic(images.shape[1], task.classes, config.critic.widths).to(device)
    print(f"critic on {describe(device)}: {len(images)} images, learning {task.name}", flush=True)
    with bar("critic", config.critic.epochs) as progress:
        train_classifier(
            critic,
            task,
            images,
            labels,
            config.critic,
            report=lambda _, loss: progress.advance(note=f"loss {loss:.4f}"),
        )
    known = None if validation.labels is None else torch.from_numpy(validation.labels)
    share = accuracy(critic, task, to_device(validation.images, device), known)
    print(f"critic: {share:.1%} of the validation images right", flush=True)
    description = {
        "task": task.name,
        "classes": task.classes,
        "image_channels": images.shape[1],
        "widths": config.critic.widths,
        "images": len(images),
        "accuracy": share,
        "feature_variances": feature_variances(CriticFeatures(critic), to_float(images[:512])),
    }
    with fresh_directory(CRITIC) as directory:
        save_weights(directory / "critic.safetensors", critic)
        write_json(directory / "critic.json", description)


if __name__ == "__main__":
    run("stages.critic", main)
