"""One logit a patch, and each logit knows its patch alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sharpvae.objective.adversary import PatchDiscriminator
from tests.conftest import IMPROVED

NORMS = ["none", "batch", "group", "spectral"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("activation", ["leaky_relu", "silu"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 64)])
def test_logits_come_for_every_patch(norm, kernel, activation, channels, size) -> None:
    network = PatchDiscriminator(channels, [4, 8, 8, 16], kernel, norm, activation)
    logits = network(torch.rand(3, channels, size, size))
    assert logits.shape == (3, size // 4, size // 4)


def test_the_third_documents_layers() -> None:
    network = PatchDiscriminator(1, [32, 64, 128, 256], 4, "batch", "silu")
    found = [
        (m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0])
        for m in network.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert found == [
        (1, 32, 3, 1), (32, 64, 4, 2), (64, 128, 4, 2), (128, 256, 3, 1), (256, 1, 1, 1),
    ]  # fmt: skip
    norms = sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())
    assert norms == 3, "none behind the first convolution and the logit"
    by_hand = 32 * 9 + 32 + 32 * 64 * 16 + 2 * 64 + 64 * 128 * 16 + 2 * 128
    by_hand += 128 * 256 * 9 + 2 * 256 + 256 + 1
    assert sum(w.numel() for w in network.parameters()) == by_hand


def test_a_logit_sees_20_pixels_square() -> None:
    """The gradient of one logit tells which pixels reach it."""
    network = PatchDiscriminator(1, [4, 4, 4, 4], norm="none", activation="silu")
    images = torch.rand(1, 1, 64, 64, requires_grad=True)
    network(images)[0, 8, 8].backward()
    assert images.grad is not None
    rows = images.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 20


@pytest.mark.parametrize("norm", NORMS)
def test_gradients_reach_every_weight_and_the_image(norm) -> None:
    torch.manual_seed(0)
    network = PatchDiscriminator(3, [4, 8, 8, 16], norm=norm)
    images = torch.rand(4, 3, 16, 16, requires_grad=True)
    network(images).square().sum().backward()
    for name, weight in [("images", images), *network.named_parameters()]:
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_spectral_norm_bounds_every_convolution() -> None:
    """After enough power iterations the largest singular value of each weight is 1."""
    torch.manual_seed(0)
    network = PatchDiscriminator(3, [4, 8, 16], norm="spectral").train()
    for _ in range(100):
        network(torch.rand(1, 3, 8, 8))
    for layer in network.eval().modules():
        if isinstance(layer, nn.Conv2d):
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
            assert largest == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_smallest_side_still_gives_a_logit(kernel, count) -> None:
    widths = [4] * count
    side = IMPROVED.loss.adversarial.model_copy(update={"widths": widths}).smallest_side
    network = PatchDiscriminator(1, widths, kernel, "none")
    assert network(torch.rand(2, 1, side, side)).shape == (2, 1, 1)
    if kernel == 4 and side > 1:
        with pytest.raises(RuntimeError):
            network(torch.rand(2, 1, side - 1, side - 1))
