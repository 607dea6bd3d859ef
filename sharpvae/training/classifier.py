"""Training of the two small networks that look at real images only: judge and critic.

They never meet: each has an architecture, a seed and a half of the training split of its own, so
that a variant which learned to please the critic has not learned the judge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sharpvae.config.schema import ClassifierConfig
from sharpvae.datasets.batches import Batch, Feed
from sharpvae.randomness import generator, global_seed

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
        The network on the device of the feeds, and its description: `task`, `classes`,
        `image_channels`, `widths`, `images` (how many it learned from), `accuracy` (on the
        validation split).
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
        task: `labels` needs a feed with labels; `rotations` makes its own.
        positions: int64 (M,), the images of `feed` to learn from.
        config: `judge` or `critic` section.
        purpose: of its random draws, beside `config.seed`.
        report: called with the epoch (from 1) and its mean loss.
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
