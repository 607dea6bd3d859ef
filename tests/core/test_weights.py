"""Weights of a network: of its names, shapes and types, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sharpvae.core.errors import UserError
from sharpvae.core.weights import load_weights, save_weights


def test_the_bytes_of_floats_are_not_read_as_integers(tmp_path: Path) -> None:
    """PyTorch converts them, so a damaged header gave weights of some thousand millions."""
    path, network = tmp_path / "a.safetensors", nn.Linear(3, 2)
    save_weights(path, network)
    path.write_bytes(path.read_bytes().replace(b'"F32"', b'"I32"', 1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(UserError, match="int32 instead of") as caught:
        load_weights(path, network)
    assert caught.value.where == str(path) and "dvc repro" in caught.value.fix
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize("names", [("weight",), ("weight", "bias", "more")])
def test_every_weight_is_there_and_no_other(tmp_path: Path, names: tuple[str, ...]) -> None:
    path = tmp_path / "a.safetensors"
    save_file({name: torch.zeros(2, 3) for name in names}, path)
    with pytest.raises(UserError, match="weights of a Linear"):
        load_weights(path, nn.Linear(3, 2))
