"""Weights on disk as safetensors, which cannot carry code."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from sharpvae.core.errors import UserError


def save_weights(path: Path, network: nn.Module) -> None:
    """Write the state of `network`; the bytes depend on the values alone."""
    state = network.state_dict()
    save_file({name: value.detach().cpu().contiguous() for name, value in state.items()}, path)


def load_weights(path: Path, network: nn.Module) -> None:
    """Fill `network` from `path`.

    Raises:
        UserError: the file is missing, damaged, or of a network of another shape.
    """
    try:
        network.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(
            str(path),
            "weights that an earlier stage wrote",
            "no such file",
            "run the whole pipeline with: dvc repro",
        ) from None
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            str(path),
            f"weights of a {type(network).__name__}",
            " ".join(str(error).split())[:200],
            "remove the file and run: dvc repro",
        ) from None
