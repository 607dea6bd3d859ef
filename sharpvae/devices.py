"""Where tensors live, and the settings that make a run repeatable there."""

from __future__ import annotations

import os
import resource
import sys

import torch

from sharpvae.errors import UserError


def select(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `mps`, `cuda` or `cuda:<index>`, set to repeatable kernels.

    Raises:
        UserError: the device is not there.
    """
    # cuBLAS reads this when it starts; without it PyTorch refuses deterministic products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    # Deterministic mode also fills every new tensor, which nothing here reads before writing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    if name == "auto":
        return torch.device(_best())
    kind, _, index = name.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise UserError(
            "device",
            "a CUDA GPU that PyTorch can see",
            f"{name}, with {torch.cuda.device_count()} GPUs visible",
            "set device: auto",
        )
    if kind == "mps" and not torch.backends.mps.is_available():
        raise UserError("device", "an Apple GPU that PyTorch can see", name, "set device: auto")
    return torch.device(name)


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def describe(device: torch.device) -> str:
    """The device in words, for the head of a log."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    return f"{device} ({torch.get_num_threads()} threads)" if device.type == "cpu" else str(device)


def peak_memory(device: torch.device) -> str:
    """The most memory used so far: of the GPU on CUDA, else of this process."""
    if device.type == "cuda":
        return f"GPU {torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # KiB, but bytes on macOS
    return f"RAM {peak / (2**30 if sys.platform == 'darwin' else 2**20):.1f} GiB"
