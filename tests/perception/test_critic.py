"""Judge and critic learn, with labels and without, from disjoint halves."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.perception.config import ClassifierConfig
from sharpvae.perception.critic import PURPOSE as CRITIC
from sharpvae.perception.critic import (
    Critic,
    Task,
    accuracy,
    halves,
    learn_half,
    task_for,
    train_classifier,
)
from sharpvae.scoring.judges import PURPOSE, LearnedJudge
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


@pytest.mark.parametrize("network", [LearnedJudge, Critic])
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
        judge = LearnedJudge(1, 2, [4])
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
        learn_half(LearnedJudge, feed, feeds[0], chosen, config, "test")
        for feed, chosen in zip(feeds, positions, strict=True)
    )
    assert all(torch.equal(one.state_dict()[k], v) for k, v in other.state_dict().items())
    assert said == said_too
    assert said["task"] == ("labels" if labelled else "rotations")
    assert said["images"] == len(half) and said["image_channels"] == 1


def test_judge_and_critic_share_no_random_number_even_with_one_seed() -> None:
    """They are built alike: the purpose of the draws and the half are what parts them."""
    feed = feed_of(*ramps(64))
    config = CONFIG.model_copy(update={"epochs": 1})
    assert PURPOSE != CRITIC
    (judge, _), (critic, _) = (
        learn_half(build, feed, feed, half, config, purpose)
        for build, half, purpose in zip(
            (LearnedJudge, Critic), halves(feed.count), (PURPOSE, CRITIC), strict=True
        )
    )
    ours, theirs = judge.classifier.state_dict(), critic.state_dict()
    assert ours.keys() == theirs.keys()
    assert not any(torch.equal(ours[name], theirs[name]) for name in ours)
