"""Weights on disk as safetensors, which cannot carry code."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sharpvae.core.errors import UserError


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the state of `network`; the bytes depend on the values alone."""
    state = network.state_dict()
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, path)


def load_weights(path: Path, network: nn.Module) -> None:
    """Fill `network` from `path`; UserError if missing, damaged, or of another shape or type."""
    try:
        state = load_file(path)
        _require_types(state, network)
        network.load_state_dict(state)
    except FileNotFoundError:
        expected = "weights that an earlier stage wrote"
        fix = "run the whole pipeline with: dvc repro"
        raise UserError(str(path), expected, "no such file", fix) from None
    except (SafetensorError, RuntimeError, KeyError, TypeError) as error:
        expected = f"weights of a {type(network).__name__}"
        fix = "remove the file and run: dvc repro"
        found = " ".join(str(error).split())[:200]
        raise UserError(str(path), expected, found, fix) from None


def _require_types(state: dict[str, Tensor], network: nn.Module) -> None:
    """PyTorch would convert other types, such as the bytes of floats read as integers."""
    for name, wanted in network.state_dict().items():
        if name in state and state[name].dtype != wanted.dtype:
            raise TypeError(f"{name} is {state[name].dtype} instead of {wanted.dtype}")
