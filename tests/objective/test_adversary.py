"""The adversary learns to tell, pulls the decoder, and keeps out of what it is not asked."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from sharpvae.core.seeds import generator, global_seed
from sharpvae.objective.adversary import Adversary, r1
from sharpvae.objective.discriminator import Discriminator
from tests.conftest import IMPROVED


@pytest.fixture
def adversary() -> Callable[..., Adversary]:
    def build(norm: str = "none", **changes: object) -> Adversary:
        config = IMPROVED.loss.adversarial.model_copy(update={"lr": 3e-3, **changes})
        with global_seed(0, "discriminator"):
            network = Discriminator(1, [4, 8, 8], norm, heads=config.heads, image_size=16)
        return Adversary(network, config, pixels=256)

    return build


def update(one: Adversary, reals: Tensor, fakes: Tensor, step: int = 1) -> Tensor:
    found = one.backward([reals], [[fakes]], step)
    one.optimizer.step()
    return found["discriminator"]


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


@pytest.mark.parametrize("heads", ["image", "both"])
def test_the_whole_image_learns_what_no_patch_shows(adversary, heads: str) -> None:
    """Both sets have the same patches: stripes in the left half, or in the right one."""
    one = adversary(heads=heads, lr=1e-2)
    halves = torch.zeros(16, 1, 16, 16), torch.zeros(16, 1, 16, 16)
    halves[0][..., 2:6], halves[1][..., 10:14] = 1.0, 1.0
    for _ in range(60):
        update(one, *halves)
    assert (one.term(halves[0]) < one.term(halves[1])).all()


def test_the_term_is_per_image_and_scaled_as_a_sum_over_pixels(adversary) -> None:
    one, images = adversary(), stripes(3, 0).clone()
    images[1] = 0.5
    whole = one.term(images)
    assert whole.shape == (3,)
    assert torch.allclose(whole[1:2], one.term(images[1:2]), rtol=1e-4)
    (logits,) = one.discriminator(images)
    assert torch.allclose(whole, -256 * logits.mean(1), rtol=1e-4)


def test_the_term_is_the_mean_of_the_heads(adversary) -> None:
    one, images = adversary(heads="both"), stripes(4, 0)
    local, whole = one.discriminator(images)
    expected = -256 * (local.mean(1) + whole[:, 0]) / 2
    assert torch.allclose(one.term(images), expected, rtol=1e-4)


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
    update(one, stripes(8, 0), weight * torch.rand(8, 1, 16, 16))
    assert weight.grad is None
    after = list(one.discriminator.parameters())
    assert not all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_features_match_where_images_are_equal_and_are_per_image(adversary) -> None:
    one, images = adversary(), stripes(3, 0)
    assert one.matching(images, images).abs().max() < 1e-6
    others = images.clone()
    others[1] = 0.5
    found = one.matching(images, others)
    assert found[1] > 0 and found[0] < 1e-6 > found[2]
    assert found.max() <= 4 * 256, "of vectors of length 1"


def test_matching_pulls_the_reconstruction_alone(adversary) -> None:
    one, images = adversary(), stripes(2, 0).clone().requires_grad_()
    reconstructions = torch.rand(2, 1, 16, 16, requires_grad=True)
    one.matching(images, reconstructions).sum().backward()
    assert images.grad is None and reconstructions.grad.abs().sum() > 0
    assert all(w.grad is None and w.requires_grad for w in one.discriminator.parameters())


def test_r1_of_a_linear_discriminator_is_the_square_of_its_weights() -> None:
    weights = torch.randn(1, 2, 3, 3, generator=generator(0, "w"), requires_grad=True)
    images = torch.rand(5, 2, 3, 3, requires_grad=True)
    # of pixels in [-1, 1], which are twice as far apart
    logits = ((2 * images - 1) * weights).flatten(1).sum(1, keepdim=True)
    penalty = r1(images, [logits, logits])
    assert penalty.item() == pytest.approx(weights.square().sum().item(), rel=1e-5)
    penalty.backward()
    assert torch.allclose(weights.grad, 2 * weights.detach(), atol=1e-5)


def test_r1_is_lazy_and_as_strong_in_the_mean(adversary) -> None:
    """At the updates that its period divides, times the period."""
    reals, fakes = stripes(4, 0).contiguous(), torch.rand(4, 1, 16, 16)

    def gradient(step: int, **changes: float) -> tuple[dict[str, Tensor], Tensor]:
        one = adversary(**changes)
        found = one.backward([reals], [[fakes]], step)
        return found, torch.cat([p.grad.flatten() for p in one.discriminator.parameters()])

    _, bare = gradient(0, r1=0.0)
    found, between = gradient(3, r1=0.5, r1_every=4)
    assert set(found) == {"discriminator"} and torch.equal(bare, between)
    found, due = gradient(4, r1=0.5, r1_every=4)
    assert found["r1"] > 0
    _, single = gradient(4, r1=0.5, r1_every=1)
    assert torch.allclose(due - bare, 4 * (single - bare), atol=1e-4)


def test_r1_keeps_the_gradient_at_reals_small(adversary) -> None:
    def steepness(gamma: float) -> float:
        one = adversary(r1=gamma, r1_every=1, lr=1e-2)
        for seed in range(40):
            update(one, stripes(8, seed).contiguous(), torch.full((8, 1, 16, 16), 0.5), seed)
        reals = stripes(8, 99).contiguous().requires_grad_()
        return r1(reals, one.discriminator(reals)).item()

    assert steepness(10.0) < 0.2 * steepness(0.0)
