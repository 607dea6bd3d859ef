"""What depends on the whole batch: two processes with half of it each against one with all."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sharpvae.distributed import processes
from sharpvae.distributed.processes import rows, synchronise
from sharpvae.objective.adversary import adaptive_weight, deception, discrimination
from sharpvae.objective.discriminator import Discriminator, Norm
from sharpvae.objective.objective import share_of_kl
from sharpvae.objective.terms import gaussian_nll, spared_kl
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.vae import VAE, kl_per_dimension
from tests.conftest import IMPROVED
from tests.peers import together

NORMS: tuple[Norm, ...] = ("batch", "spectral")
BATCH, PIECES, STEPS, LATENTS = 8, 2, 6, 4
CLOSE = {"rtol": 1e-8, "atol": 1e-11}


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _terms() -> dict[str, Any]:
    """Value and gradient of each term, averaged over processes as the optimiser would see them."""
    own = rows(BATCH, 1, processes.rank(), processes.world())
    images = torch.rand(BATCH, 1, 4, 4, generator=_generator(0), dtype=torch.float64)
    images[::2] *= 9  # the halves differ, so that a mean over one would be another
    scale = torch.full((1, 4, 4), 0.5, dtype=torch.float64, requires_grad=True)
    mean = torch.randn(BATCH, 6, generator=_generator(1), dtype=torch.float64)
    mean[: BATCH // 2, 0], mean[BATCH // 2 :, 0] = 0.0, 1.2  # free in one half, not in the whole
    factor = torch.ones(6, dtype=torch.float64, requires_grad=True)
    found: dict[str, Any] = {}

    per_dimension = kl_per_dimension((mean * factor)[own], torch.zeros_like(mean[own]))
    free = spared_kl(per_dimension, free_bits=0.2, floor=1.0).mean()
    found["free bits"] = _averaged(free, factor)

    error = gaussian_nll(images[own], images[own] * scale).mean()
    found["gaussian"] = _averaged(error, scale)

    drawn = images[own] * scale
    one, other = drawn.square().mean(), drawn.sqrt().mean()
    found["adaptive weight"] = adaptive_weight(drawn, *_pulls(drawn, one, other), scale)
    found["share of the KL"] = share_of_kl(free, one + free)
    return found


def _pulls(images: Tensor, *losses: Tensor) -> list[Tensor]:
    return [torch.autograd.grad(loss, images, retain_graph=True)[0] for loss in losses]


def _averaged(value: Tensor, parameter: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(value, parameter, retain_graph=True)
    return processes.all_reduce_mean(value.detach()), processes.all_reduce_mean(gradient)


def _train(norm: Norm) -> dict[str, Any]:
    """A VAE with batch norm and its discriminator, for a few updates by Adam."""
    torch.manual_seed(3)
    vae = synchronise(VAE(_model(), 1, 16).double())
    judge = synchronise(Discriminator(1, [4, 8, 8], norm).double())
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-2) for net in (vae, judge)]
    losses = []
    for step in range(STEPS):
        images = torch.rand(BATCH, 1, 16, 16, generator=_generator(step), dtype=torch.float64)
        noise = torch.randn(BATCH, LATENTS, generator=_generator(99 + step), dtype=torch.float64)
        own = rows(BATCH, PIECES, processes.rank(), processes.world())
        for optimizer in optimizers:
            optimizer.zero_grad()
        losses.append(torch.zeros((), dtype=torch.float64))
        for piece in own.chunk(PIECES):
            loss, fakes = _loss(vae, judge, images[piece], noise[piece])
            (loss / PIECES).backward()
            losses[-1] += processes.all_reduce_mean(loss.detach()) / PIECES
            judge.requires_grad_(True)
            real, fake = (judge(some)[0] for some in (images[piece], fakes.detach()))
            (discrimination("hinge", real, fake) / PIECES).backward()
        for net, optimizer in zip((vae, judge), optimizers, strict=True):
            processes.average_gradients(weight.grad for weight in net.parameters())  # type: ignore[misc]
            optimizer.step()
    return {"losses": losses, "vae": vae.state_dict(), "judge": judge.state_dict()}


def _model() -> ModelConfig:
    toy = {"latent_dim": LATENTS, "widths": [4, 8], "width_scale": 1.0, "norm": "batch"}
    return ModelConfig.model_validate({**IMPROVED.model.model_dump(), **toy})


def _loss(vae: nn.Module, judge: nn.Module, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    fakes, posterior = vae(images, noise)
    fakes = fakes.double()
    kl = spared_kl(kl_per_dimension(*posterior), free_bits=0.05, floor=0.0).mean()
    reconstruction = gaussian_nll(images, fakes).mean()
    judge.requires_grad_(False)
    adversarial = deception("hinge", judge(fakes)[0]).mean()
    pulls = _pulls(fakes, reconstruction, adversarial)
    weight = adaptive_weight(fakes, *pulls, vae.decoder.last_weight)
    share = share_of_kl(kl, reconstruction + kl)
    return reconstruction + (1 + share) * kl + 0.1 * weight * adversarial, fakes


def _everything() -> dict[str, Any]:
    return {"terms": _terms(), "training": {norm: _train(norm) for norm in NORMS}}


@pytest.fixture(scope="module")
def shares() -> list[dict[str, Any]]:
    return together(_everything)


def test_terms_and_their_gradients_are_those_of_the_whole_batch(
    shares: list[dict[str, Any]],
) -> None:
    whole = _terms()
    assert set(whole) == {"free bits", "gaussian", "adaptive weight", "share of the KL"}
    for share in shares:
        for name, value in whole.items():
            torch.testing.assert_close(share["terms"][name], value, **CLOSE)


@pytest.mark.parametrize("norm", NORMS)
def test_a_training_shared_by_two_ends_where_one_alone_does(
    shares: list[dict[str, Any]], norm: Norm
) -> None:
    """What differs is the order of sums, and how the decoder rounds pixels to single precision."""
    whole = _train(norm)
    assert len({float(loss) for loss in whole["losses"]}) == STEPS
    for share in shares:
        for name, value in share["training"][norm].items():
            expected = whole[name]
            if isinstance(value, dict):
                value, expected = dict(value), dict(expected)
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


def test_both_processes_hold_the_very_same_weights(shares: list[dict[str, Any]]) -> None:
    one, other = (share["training"] for share in shares)
    for norm, network in itertools.product(NORMS, ("vae", "judge")):
        for name, value in one[norm][network].items():
            assert torch.equal(value, other[norm][network][name]), name
