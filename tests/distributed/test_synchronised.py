"""Batch norm over two processes against PyTorch's over the whole batch in one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sharpvae.distributed import processes
from sharpvae.distributed.processes import BatchNormOfAll, rows, synchronise
from tests.peers import WORLD, together

KINDS = ("maps", "vectors", "cumulative", "plain", "bf16")
BATCH = 8


def _layers(kind: str) -> nn.Sequential:
    """A batch norm between two layers, so that gradients reach it and come out of it."""
    torch.manual_seed(1)
    if kind == "vectors":
        layers = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 2))
    else:
        norm = nn.BatchNorm2d(
            4, momentum=None if kind == "cumulative" else 0.3, affine=kind != "plain"
        )
        layers = nn.Sequential(nn.Conv2d(3, 4, 3), norm, nn.SiLU(), nn.Conv2d(4, 2, 3))
    for parameter in layers.parameters():
        nn.init.normal_(parameter)
    return layers if kind == "bf16" else layers.double()


def _images(kind: str) -> Tensor:
    shape = (BATCH, 5) if kind == "vectors" else (BATCH, 3, 6, 6)
    images = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return 3 * images + 100 * torch.arange(BATCH).view(-1, *[1] * (len(shape) - 1))


def _compute(kind: str) -> dict[str, Any]:
    """Two forward passes, the gradient of the second, the state, and what evaluation gives."""
    own = rows(BATCH, 1, processes.rank(), processes.world())
    layers, images = synchronise(_layers(kind)), _images(kind)
    if kind == "bf16":
        images = images.float()
    own_images = images[own].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=kind == "bf16"):
        layers(own_images * 2)
        output = layers(own_images)
    targets = torch.linspace(-1, 1, BATCH, dtype=output.dtype)[own]
    loss = (output.flatten(1).square().mean(1) * targets).mean()
    loss.backward()
    weights = [parameter.grad for parameter in layers.parameters()]
    processes.average_gradients(weights)  # type: ignore[arg-type]
    return {
        "kinds": [type(layer).__name__ for layer in layers],
        "output": output.detach(),
        "input_gradient": own_images.grad,
        "gradients": weights,
        "state": layers.state_dict(),
        "evaluated": layers.eval()(own_images).detach(),
    }


def _all_kinds() -> dict[str, Any]:
    return {kind: _compute(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def shares() -> list[dict[str, Any]]:
    return together(_all_kinds)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "bf16"])
def test_two_processes_compute_what_one_does(shares: list[dict[str, Any]], kind: str) -> None:
    whole = _compute(kind)
    assert "BatchNormOfAll" not in whole["kinds"]
    for rank, share in enumerate(shares):
        own, part = rows(BATCH, 1, rank, WORLD), share[kind]
        assert "BatchNormOfAll" in part["kinds"]
        close = {"rtol": 1e-9, "atol": 1e-12}
        torch.testing.assert_close(part["output"], whole["output"][own], **close)
        torch.testing.assert_close(part["evaluated"], whole["evaluated"][own], **close)
        torch.testing.assert_close(part["gradients"], whole["gradients"], **close)
        # The loss is a mean over the process's own images, of which there are fewer.
        expected = whole["input_gradient"][own] * WORLD
        torch.testing.assert_close(part["input_gradient"], expected, **close)
        assert list(part["state"]) == list(whole["state"])
        torch.testing.assert_close(dict(part["state"]), dict(whole["state"]), **close)


def test_under_autocast_it_gives_the_type_it_was_given(shares: list[dict[str, Any]]) -> None:
    """bf16 has 8 bits; the statistics are computed in single precision."""
    whole = _compute("bf16")
    for rank, share in enumerate(shares):
        part, own = share["bf16"], rows(BATCH, 1, rank, WORLD)
        assert part["output"].dtype == torch.bfloat16
        torch.testing.assert_close(part["output"], whole["output"][own], rtol=0.05, atol=0.05)
        assert part["state"]["1.running_mean"].dtype == torch.float32


def test_parameters_stay_the_same_objects_and_one_process_keeps_its_layers() -> None:
    layers = nn.Sequential(nn.BatchNorm2d(3))
    assert synchronise(layers) is layers and type(layers[0]) is nn.BatchNorm2d


def test_alone_it_is_plain_batch_norm() -> None:
    new, plain = BatchNormOfAll(4), nn.BatchNorm2d(4)
    images = torch.randn(3, 4, 5, 5)
    assert torch.equal(new(images), plain(images))
    assert torch.equal(new.running_var, plain.running_var)
    with pytest.raises(ValueError, match="dimensions"):
        new(torch.rand(4))
