"""Adversarial losses: their values by hand, and the weight that balances two gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.objective.adversary import adaptive_weight, deception, discrimination


def test_deception_is_per_image_over_patches() -> None:
    logits = torch.tensor([[1.0, 3.0], [-2.0, 0.0]])
    assert deception("hinge", logits).tolist() == [-2.0, 1.0]
    expected = [(math.log1p(math.exp(-1)) + math.log1p(math.exp(-3))) / 2,
                (math.log1p(math.exp(2)) + math.log(2)) / 2]  # fmt: skip
    assert deception("bce", logits).tolist() == pytest.approx(expected)


def test_the_hinge_stops_paying_beyond_its_margin() -> None:
    real, fake = torch.tensor([[2.0, 0.5]]), torch.tensor([[-3.0, 0.0]])
    assert float(discrimination("hinge", real, fake)) == pytest.approx(0.5 * (0.25 + 0.5))


def test_bce_is_pytorchs_cross_entropy_with_logits() -> None:
    real, fake = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0)).unbind()
    loss = torch.nn.functional.binary_cross_entropy_with_logits
    oracle = (loss(real, torch.ones_like(real)) + loss(fake, torch.zeros_like(fake))) / 2
    assert float(discrimination("bce", real, fake)) == pytest.approx(float(oracle))
    deceived = loss(fake, torch.ones_like(fake), reduction="none").mean(1)
    assert torch.allclose(deception("bce", fake), deceived)


@pytest.mark.parametrize(("kind", "coin"), [("hinge", 1.0), ("bce", math.log(2))])
def test_one_who_cannot_tell_pays_for_a_coin(kind: str, coin: float) -> None:
    nothing = torch.zeros(2, 4)
    assert float(discrimination(kind, nothing, torch.zeros(5, 4))) == pytest.approx(coin)


@given(st.floats(0.03, 30), st.floats(0.03, 30))
def test_the_weight_makes_both_gradients_equally_long(one: float, other: float) -> None:
    weight = torch.tensor([0.3, -0.7, 0.2], requires_grad=True)
    images = weight.square()
    reconstruction, adversarial = one * images.square().sum(), other * images.sum()
    pulls = (torch.autograd.grad(loss, images, retain_graph=True)[0] for loss in
             (reconstruction, adversarial))  # fmt: skip
    balance = adaptive_weight(images, *pulls, weight)
    (pull,) = torch.autograd.grad(reconstruction, weight, retain_graph=True)
    (push,) = torch.autograd.grad(balance * adversarial, weight)
    assert not balance.requires_grad
    assert float(push.norm()) == pytest.approx(float(pull.norm()), rel=0.02)


def test_the_weight_is_bounded_where_the_discriminator_is_flat() -> None:
    weight = torch.ones(2, requires_grad=True)
    balance = adaptive_weight(1 * weight, torch.full((2,), 1e6), torch.zeros(2), weight)
    assert float(balance) == 1e4
