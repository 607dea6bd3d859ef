"""What each head sees, and what the trunk is made of."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sharpvae.core.seeds import generator
from sharpvae.objective.discriminator import Discriminator, MinibatchDeviation, group_size
from tests.conftest import IMPROVED

NORMS = ["none", "batch", "group", "spectral"]
SIZES = [16, 28, 32, 48, 64, 96, 128, 256]


def patches(network: Discriminator, images: Tensor) -> Tensor:
    (logits,) = network(images)
    return logits


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("activation", ["leaky_relu", "silu"])
@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 64)])
def test_logits_come_for_every_patch(norm, activation, channels, size) -> None:
    network = Discriminator(channels, [4, 8, 8, 16], norm, activation)
    logits = patches(network, torch.rand(3, channels, size, size))
    assert logits.shape == (3, (size // 4) ** 2)


@pytest.mark.parametrize("size", SIZES)
def test_the_whole_image_has_one_logit_at_any_size(size) -> None:
    network = Discriminator(1, [4, 8, 8], heads="both", image_size=size)
    local, whole = network(torch.rand(2, 1, size, size))
    assert local.shape == (2, (size // 2) ** 2) and whole.shape == (2, 1)
    (alone,) = Discriminator(1, [4, 8], heads="image", image_size=size)(
        torch.rand(2, 1, size, size)
    )
    assert alone.shape == (2, 1)


def test_the_whole_image_needs_its_size() -> None:
    with pytest.raises(ValueError, match="size of the images"):
        Discriminator(1, [4, 8], heads="image")


def test_the_third_documents_layers() -> None:
    network = Discriminator(1, [32, 64, 128, 256], "batch", "silu")
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


def seen(network: Discriminator, head: int, logit: int) -> Tensor:
    """The gradient of one logit of the first of three images, by each image."""
    images = torch.rand(3, 1, 64, 64, generator=generator(0, "images"), requires_grad=True)
    network(images)[head][0, logit].backward()
    assert images.grad is not None
    return images.grad[:, 0].abs()


def test_a_patch_is_20_pixels_square_and_the_whole_is_all() -> None:
    torch.manual_seed(0)
    network = Discriminator(1, [4, 4, 4, 4], "none", "silu", "both", 64)
    patch = seen(network, 0, 8 * 16 + 8)
    rows = patch[0].sum(1).nonzero().flatten()
    assert int(rows.max() - rows.min()) + 1 == 20
    assert patch[1:].sum() == 0, "of one image alone"
    whole = seen(network, 1, 0)
    assert (whole[0] > 0).all()
    assert whole[1].sum() > 0, "the deviation over the minibatch"


def test_the_deviation_tells_copies_from_a_batch() -> None:
    maps = torch.randn(8, 3, 4, 4, generator=generator(0, "maps"))
    channel = MinibatchDeviation()(maps)[:, 3]
    by_hand = [maps[i : i + 4].std(0, correction=0).mean() for i in (0, 4)]
    assert torch.allclose(channel[:4], by_hand[0].expand(4, 4, 4), atol=1e-4)
    assert torch.allclose(channel[4:], by_hand[1].expand(4, 4, 4), atol=1e-4)
    copies = MinibatchDeviation()(maps[:1].expand(8, -1, -1, -1))[:, 3]
    assert copies.max() < 1e-3


@pytest.mark.parametrize(("count", "group"), [(64, 4), (6, 6), (10, 5), (7, 7), (2, 2), (1, 1)])
def test_groups_divide_the_batch(count: int, group: int) -> None:
    assert group_size(count) == group


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("heads", ["patch", "both"])
def test_gradients_reach_every_weight_and_the_image(norm, heads) -> None:
    torch.manual_seed(0)
    network = Discriminator(3, [4, 8, 8, 16], norm, heads=heads, image_size=16)
    images = torch.rand(4, 3, 16, 16, requires_grad=True)
    sum(logits.square().sum() for logits in network(images)).backward()
    for name, weight in [("images", images), *network.named_parameters()]:
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_spectral_norm_bounds_every_layer() -> None:
    """After enough power iterations the largest singular value of each weight is 1."""
    torch.manual_seed(0)
    network = Discriminator(3, [4, 8, 16], "spectral", heads="both", image_size=8).train()
    for _ in range(100):
        network(torch.rand(1, 3, 8, 8))
    for layer in network.eval().modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            largest = torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item()
            assert largest == pytest.approx(1.0, abs=1e-3)


def test_the_trunk_gives_its_maps() -> None:
    network = Discriminator(1, [4, 8, 16], "none")
    maps = network.maps(torch.rand(2, 1, 16, 16))
    assert [tuple(found.shape[1:]) for found in maps] == [(4, 16, 16), (8, 8, 8), (16, 8, 8)]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_smallest_side_still_gives_a_logit(count) -> None:
    widths = [4] * count
    side = IMPROVED.loss.adversarial.model_copy(update={"widths": widths}).smallest_side
    network = Discriminator(1, widths, "none")
    assert patches(network, torch.rand(2, 1, side, side)).shape == (2, 1)
    if side > 1:
        with pytest.raises(RuntimeError):
            network(torch.rand(2, 1, side - 1, side - 1))
