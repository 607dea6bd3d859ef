"""Where tensors live, and the settings that make a run repeatable there, and quick."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

from sharpvae.core.errors import UserError

# Of glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def select(name: str) -> torch.device:
    """The device for `auto`, `cpu`, `mps`, `cuda` or `cuda:<index>`, set to repeatable kernels.

    Raises:
        UserError: there is no such name, or the device is not there.
    """
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name):
        raise UserError("device", "auto, cpu, mps, cuda or cuda:<index>", repr(name))
    # cuBLAS reads this when it starts; without it PyTorch refuses deterministic products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # As use_deterministic_algorithms, which would also import the compiler, for over a second.
    torch.set_deterministic_debug_mode("error")
    # Deterministic mode also fills every new tensor, which nothing here reads before writing.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    mps = torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if mps else "cpu"
    kind, _, index = name.partition(":")
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        found = f"{name}, with {torch.cuda.device_count()} GPUs visible"
        raise UserError("device", "a CUDA GPU that PyTorch can see", found, "set device: auto")
    if kind == "mps" and not mps:
        raise UserError("device", "an Apple GPU that PyTorch can see", name, "set device: auto")
    return torch.device(name)


@contextmanager
def borrowed(name: str) -> Iterator[torch.device]:
    """`select` for the block; afterwards PyTorch is set as it was before, as its owner wants it."""
    mode, benchmark = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    try:
        yield select(name)
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.benchmark = benchmark
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]


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


def keep_memory() -> bool:
    """Have malloc keep the memory that tensors on the CPU gave back, instead of returning it.

    By default glibc maps every block of 32 MB or more anew and gives the end of the heap back, so
    that each update has 200 to 16000 page faults; with this almost none. docs/performance.md has
    the speed; the weights are the same bit for bit. The peak of a training was at most 4 % higher;
    between peaks the process no longer shrinks. It affects the whole process from the call on.

    Returns:
        whether it could; with another malloc than glibc's nothing happens.
    """
    if sys.platform != "linux":
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    return bool(library.mallopt(_M_MMAP_MAX, 0) and library.mallopt(_M_TRIM_THRESHOLD, -1))


Precision = Literal["auto", "fp32", "bf16"]


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """bf16 where asked for, or where `auto` finds hardware that computes it; weights stay fp32."""
    enabled = resolved(precision, device) == "bf16"
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def resolved(precision: Precision, device: torch.device) -> Precision:
    """fp32 or bf16."""
    if precision != "auto":
        return precision
    native = False  # whether the hardware multiplies bf16; emulation is slower than fp32
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    elif device.type == "cpu":
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if native else "fp32"
