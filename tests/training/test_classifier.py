"""Judge and critic learn, with labels and without, from disjoint halves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.config.schema import ClassifierConfig
from sharpvae.metrics.judge import Judge
from sharpvae.networks.critic import Critic
from sharpvae.training.classifier import Task, accuracy, halves, task_for, train_classifier

CONFIG = ClassifierConfig(widths=[8, 8], epochs=15, lr=1e-2, batch_size=16, seed=0)


@given(st.integers(2, 1000))
def test_the_halves_are_disjoint_and_whole(count: int) -> None:
    judge, critic = halves(count)
    assert len(judge) == count // 2
    assert sorted([*judge.tolist(), *critic.tolist()]) == list(range(count))


def test_labels_are_the_task_where_there_are_two_classes() -> None:
    assert task_for(torch.tensor([0, 1, 2])) == Task("labels", 3)
    assert task_for(None) == task_for(torch.tensor([1, 1])) == Task("rotations", 4)


def ramps(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy ramps that brighten to the right, or downwards: two classes, four quarter turns."""
    labels = torch.arange(count) % 2
    ramp = torch.arange(0, 160, 10).expand(16, 16)
    turned = torch.stack([ramp, ramp.T])[labels]
    return (turned + torch.randint(0, 20, (count, 16, 16))).to(torch.uint8)[:, None], labels


@pytest.mark.parametrize("network", [Judge, Critic])
@pytest.mark.parametrize("task", [Task("labels", 2), Task("rotations", 4)])
def test_it_learns_its_task(network, task: Task) -> None:
    torch.manual_seed(0)
    images, labels = ramps(256)
    if task.name == "rotations":
        images, labels = images[labels == 0], None
    classifier = network(1, task.classes, CONFIG.widths)
    losses = []
    train_classifier(
        classifier, task, images, labels, CONFIG, report=lambda _, loss: losses.append(loss)
    )
    assert len(losses) == 15 and losses[-1] < losses[0]
    assert accuracy(classifier, task, images, labels) > 0.9
    assert not classifier.training


def test_the_same_seed_trains_the_same_network() -> None:
    images, labels = ramps(64)
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        judge = Judge(1, 2, [4])
        train_classifier(judge, Task("labels", 2), images, labels, CONFIG)
        states.append(judge.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_judge_and_critic_share_no_architecture() -> None:
    judge, critic = Judge(1, 10, [8, 8]), Critic(1, 10, [8, 8])
    assert judge.state_dict().keys() != critic.state_dict().keys()
