"""The adversary learns to tell, pulls the decoder, and keeps out of what it is not asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sharpvae.core.seeds import global_seed
from sharpvae.objective.adversary import Adversary, PatchDiscriminator
from tests.conftest import IMPROVED


@pytest.fixture
def adversary() -> Callable[..., Adversary]:
    def build(norm: str = "none", **changes: object) -> Adversary:
        config = IMPROVED.loss.adversarial.model_copy(update={"lr": 3e-3, **changes})
        with global_seed(0, "discriminator"):
            network = PatchDiscriminator(1, [4, 8, 8], norm=norm)
        return Adversary(network, config, pixels=256)

    return build


def update(one: Adversary, reals: Tensor, fakes: Tensor) -> Tensor:
    loss = one.backward([reals], [fakes])
    one.optimizer.step()
    return loss


def stripes(count: int, seed: int) -> Tensor:
    """Reals: sharp stripes.  float32 (N, 1, 16, 16)"""
    random = torch.Generator().manual_seed(seed)
    phase = torch.randint(0, 2, (count, 1, 1, 1), generator=random)
    return ((torch.arange(16) // 2 + phase) % 2).float().expand(count, 1, 16, 16)


@pytest.mark.parametrize("loss", ["hinge", "bce"])
@pytest.mark.parametrize("norm", ["none", "batch", "group", "spectral"])
def test_it_learns_to_tell_stripes_from_grey(adversary, loss: str, norm: str) -> None:
    one = adversary(norm, loss=loss)
    grey = torch.full((16, 1, 16, 16), 0.5)
    costs = [float(update(one, stripes(16, seed), grey)) for seed in range(60)]
    # Batch norm takes away how bright and how rich in contrast a batch is as a whole.
    assert costs[-1] < (0.8 if norm == "batch" else 0.5) * costs[0]
    real, fake = one.term(stripes(8, 99)), one.term(grey[:8])
    assert real.max() < fake.min(), "what looks real costs the decoder less"


def test_the_term_is_per_image_and_scaled_as_a_sum_over_pixels(adversary) -> None:
    one, images = adversary(), stripes(3, 0).clone()
    images[1] = 0.5
    whole = one.term(images)
    assert whole.shape == (3,)
    assert torch.allclose(whole[1:2], one.term(images[1:2]), rtol=1e-4)
    logits = one.discriminator(images).flatten(1)
    assert torch.allclose(whole, -256 * logits.mean(1), rtol=1e-4)


@pytest.mark.parametrize("loss", ["hinge", "bce"])
def test_the_term_pulls_each_fake_and_leaves_the_discriminator_alone(adversary, loss: str) -> None:
    one = adversary(loss=loss)
    fakes = torch.rand(3, 1, 16, 16, requires_grad=True)
    one.term(fakes)[1].backward()
    moved = fakes.grad.flatten(1).abs().sum(1)
    assert moved[1] > 0 and moved[0] == moved[2] == 0
    assert all(weight.grad is None for weight in one.discriminator.parameters())
    assert all(weight.requires_grad for weight in one.discriminator.parameters())


def test_an_update_leaves_the_fakes_graph_alone(adversary) -> None:
    weight = torch.ones(1, requires_grad=True)
    one = adversary()
    before = [p.clone() for p in one.discriminator.parameters()]
    update(one, stripes(4, 0), weight * torch.rand(8, 1, 16, 16))
    assert weight.grad is None
    after = list(one.discriminator.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
