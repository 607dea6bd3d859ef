"""Optimisers by name: their first steps by hand, and what is skipped."""

from __future__ import annotations

import sys

import pytest
import torch
from torch import nn

from sharpvae.core.errors import UserError
from sharpvae.training.optimisers import optimiser, step_unless

NAMES = ("adam", "adamw", "lion", "adan", "muon")


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(16, 4))


def stepped(name: str, train_config, bad: float = 0.0, weight_decay: float = 0.0):
    """Weights before and after one step of learning rate 0.01."""
    model = network()
    config = train_config(optimizer=name, lr=0.01, weight_decay=weight_decay)
    made = optimiser(model, config)
    before = [weight.detach().clone() for weight in model.parameters()]
    images = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    model(images).square().sum().backward()
    step_unless(made, torch.tensor(bad))
    return before, list(model.parameters())


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_update_moves_nothing(name: str, train_config) -> None:
    before, after = stepped(name, train_config, bad=1.0)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    before, after = stepped(name, train_config)
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_lion_steps_by_the_sign_and_decays_apart(train_config) -> None:
    before, after = stepped("lion", train_config, weight_decay=0.5)
    for old, new in zip(before, after, strict=True):
        assert new.grad is not None
        expected = old * (1 - 0.01 * 0.5) - 0.01 * new.grad.sign()
        assert torch.allclose(new, expected, atol=1e-6)


def test_muon_steps_orthogonally_at_the_size_of_adamw(train_config) -> None:
    before, after = stepped("muon", train_config)
    for old, new in zip(before, after, strict=True):
        step = (new - old).detach()
        if step.ndim == 1:
            assert new.grad is not None
            assert torch.allclose(step, -0.01 * new.grad.sign(), atol=1e-4), "AdamW's first step"
            continue
        values = torch.linalg.svdvals(step.flatten(1)) / (
            0.01 * 0.2 * max(step.flatten(1).shape) ** 0.5
        )
        assert values.min() > 0.5 and values.max() < 1.3, "near 1, as Newton-Schulz leaves them"


@pytest.mark.parametrize("name", NAMES[2:])
def test_a_missing_package_is_named(
    name: str, train_config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)
    with pytest.raises(UserError, match="optimizers"):
        optimiser(network(), train_config(optimizer=name))
