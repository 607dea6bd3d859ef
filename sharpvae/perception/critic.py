"""Classifiers of real images, and the critic: the one whose features a loss compares."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from pydantic import model_validator
from torch import Tensor, nn

from sharpvae.core.artefacts import Artefact, load_artefact
from sharpvae.core.config import Positive, Units, Widths
from sharpvae.core.seeds import generator, global_seed
from sharpvae.core.weights import load_weights
from sharpvae.images.feed import Batch, Feed
from sharpvae.perception.config import ClassifierConfig

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Task:
    """What a classifier learns.

    Attributes:
        name: `labels`, or `rotations` (Gidaris et al. 2018) where the data has no labels.
        classes: number of classes.
    """

    name: str
    classes: int


def task_for(labels: Tensor | None) -> Task:
    """Labels where there are at least two classes of them, else quarter turns."""
    if labels is not None and len(labels.unique()) > 1:
        return Task("labels", int(labels.max()) + 1)
    return Task("rotations", 4)


def halves(count: int) -> tuple[Tensor, Tensor]:
    """Two disjoint, random halves of `range(count)`: the judge's and the critic's."""
    order = torch.randperm(count, generator=generator(0, "halves"))
    return order[: count // 2].sort().values, order[count // 2 :].sort().values


def learn_half(
    build: Callable[[int, int, Sequence[int]], Network],
    train: Feed,
    validation: Feed,
    half: Tensor,
    config: ClassifierConfig,
    purpose: str,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> tuple[Network, dict[str, Any]]:
    """Build a classifier and train it on one half of the training split.

    Args:
        build: (image channels, classes, widths) => network from images to logits.
        half: positions in the training split.
        purpose: of its random draws, beside `config.seed`.
        report: called with the epoch (from 1) and its mean loss.

    Returns:
        The network on the device of the feeds, and its description: task, classes,
        image_channels, widths, images (how many it learned from), accuracy (on validation).
    """
    task = task_for(train.labels)
    with global_seed(config.seed, purpose):
        network = build(train.channels, task.classes, config.widths).to(train.device)
    train_classifier(network, task, train, half, config, purpose, report)
    return network, {
        "task": task.name,
        "classes": task.classes,
        "image_channels": train.channels,
        "widths": config.widths,
        "images": len(half),
        "accuracy": accuracy(network, task, validation),
    }


def train_classifier(
    network: nn.Module,
    task: Task,
    feed: Feed,
    positions: Tensor,
    config: ClassifierConfig,
    purpose: str,
    report: Callable[[int, float], None] = lambda epoch, loss: None,
) -> None:
    """Train `network` in place by cross-entropy with Adam and a cosine schedule.

    Args:
        network: float32 (B, C, H, W) in [0, 1] => logits (B, task.classes); on the feed's device.
        positions: int64 (M,), the images of `feed` to learn from.
        purpose, report: as of `learn_half`.
    """
    random = generator(config.seed, f"classifier-{purpose}")
    steps = max(1, len(positions) // config.batch_size)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs * steps)
    network.train()
    for epoch in range(1, config.epochs + 1):
        order = positions[torch.randperm(len(positions), generator=random)]
        total = torch.zeros((), device=feed.device)
        for step in range(steps):
            chosen = order[step * config.batch_size : (step + 1) * config.batch_size]
            images, target = _examples(task, feed.take(chosen), random)
            loss = F.cross_entropy(network(images), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.detach()
        report(epoch, float(total) / steps)
    network.eval()


@torch.no_grad()
def accuracy(network: nn.Module, task: Task, feed: Feed, batch_size: int = 256) -> float:
    """Share of the images that `network` puts in the right class; in [0, 1]."""
    random = generator(0, "classifier-accuracy")
    right = 0
    for batch in feed.in_order(batch_size):
        images, target = _examples(task, batch, random)
        right += int((network(images).argmax(1) == target).sum())
    return right / feed.count


def _examples(task: Task, batch: Batch, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """The images as the task shows them, with their classes: float32 (B, C, H, W), int64 (B,)."""
    images, labels = batch
    if task.name == "labels":
        assert labels is not None
        return images.contiguous(), labels  # as the weights lie
    turns = torch.randint(4, (len(images),), generator=random).to(images.device)
    turned = [torch.rot90(image, int(k), (1, 2)) for image, k in zip(images, turns, strict=True)]
    return torch.stack(turned), turns


PURPOSE = "Critic"  # of its random draws; another word is another critic, and other trainings


class Critic(nn.Module):
    """A plain stack of 3x3 convolutions with average pooling, in the manner of VGG.

    Smooth pooling and no batch norm keep its gradient to the image smooth.

    Args:
        image_channels: 1 or 3.
        classes: number of classes it is trained to tell apart.
        widths: channels of each block; every block but the last halves height and width.
    """

    def __init__(self, image_channels: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = [image_channels, *widths]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 3, padding=1),
                nn.ReLU(),
                nn.Conv2d(b, b, 3, padding=1),
                nn.ReLU(),
            )
            for a, b in pairwise(sizes)
        )
        self.pool = nn.AvgPool2d(2)
        self.classify = nn.Linear(widths[-1], classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):  # or six layers without a norm barely learn
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")

    def features(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1] => one (B, F, h, w) a block"""
        layers: list[Tensor] = []
        for block in self.blocks:
            images = block(self.pool(layers[-1]) if layers else images)
            layers.append(images)
        return layers

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) in [0, 1] => class logits (B, K)"""
        return self.classify(self.features(images)[-1].mean((2, 3)))


class CriticFeatures(nn.Module):
    """The critic as a perceptual network: images in, the feature maps of its blocks out."""

    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, images: Tensor) -> list[Tensor]:
        """As `Critic.features`."""
        return self.critic.features(images)


class ClassifierShape(Artefact):
    """What a classifier that was trained here is built from, as its description tells it."""

    image_channels: Literal[1, 3]
    classes: Units
    widths: Widths


class CriticShape(ClassifierShape):
    """critic.json, of which a perceptual loss needs the scale of each layer, too."""

    feature_variances: list[Positive]

    @model_validator(mode="after")
    def _one_a_block(self) -> CriticShape:
        found, blocks = len(self.feature_variances), len(self.widths)
        if found != blocks:
            raise ValueError(f"{found} variances of {blocks} blocks")
        return self


def load_critic(directory: Path) -> Critic:
    """The network that the stage `critic` wrote.

    Raises:
        UserError: it is missing, or damaged.
    """
    shape = load_artefact(directory / "critic.json", ClassifierShape)
    classifier = Critic(shape.image_channels, shape.classes, shape.widths)
    load_weights(directory / "critic.safetensors", classifier)
    return classifier
