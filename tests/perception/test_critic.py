"""Judge and critic learn, with labels and without, from disjoint halves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.perception.config import ClassifierConfig
from sharpvae.perception.critic import (
    Critic,
    Task,
    accuracy,
    halves,
    learn_half,
    task_for,
    train_classifier,
)
from sharpvae.scoring.judge import Judge
from tests.feeds import feed_of

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
    feed = feed_of(images, labels)
    classifier = network(1, task.classes, CONFIG.widths)
    losses = []
    everything = torch.arange(feed.count)
    train_classifier(
        classifier,
        task,
        feed,
        everything,
        CONFIG,
        "test",
        report=lambda _, loss: losses.append(loss),
    )
    assert len(losses) == 15 and losses[-1] < losses[0]
    assert accuracy(classifier, task, feed) > 0.9
    assert not classifier.training


def test_the_same_seed_trains_the_same_network() -> None:
    feed = feed_of(*ramps(64))
    states = []
    for _ in range(2):
        torch.manual_seed(0)
        judge = Judge(1, 2, [4])
        train_classifier(judge, Task("labels", 2), feed, torch.arange(64), CONFIG, "test")
        states.append(judge.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("labelled", [True, False])
def test_a_half_is_all_it_learns_from(labelled: bool) -> None:
    """As if the other half were not there: the same network from a feed of the half alone."""
    images, labels = ramps(80)
    half, config = torch.arange(80)[1::3], CONFIG.model_copy(update={"epochs": 2})
    known = labels if labelled else None
    feeds = feed_of(images, known), feed_of(images[half], known[half] if labelled else None)
    positions = half, torch.arange(len(half))
    (one, said), (other, said_too) = (
        learn_half(Judge, feed, feeds[0], chosen, config, "test")
        for feed, chosen in zip(feeds, positions, strict=True)
    )
    assert all(torch.equal(one.state_dict()[k], v) for k, v in other.state_dict().items())
    assert said == said_too
    assert said["task"] == ("labels" if labelled else "rotations")
    assert said["images"] == len(half) and said["image_channels"] == 1


def test_judge_and_critic_share_no_architecture() -> None:
    judge, critic = Judge(1, 10, [8, 8]), Critic(1, 10, [8, 8])
    assert judge.state_dict().keys() != critic.state_dict().keys()
