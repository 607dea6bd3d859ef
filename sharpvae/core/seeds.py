"""Every random draw comes from a generator seeded by (seed, purpose)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def seed_of(seed: int, purpose: str) -> int:
    """A 63-bit seed for one purpose: two purposes never share a stream of random numbers."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, purpose: str, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on `device` for one purpose."""
    return torch.Generator(device).manual_seed(seed_of(seed, purpose))


@contextmanager
def global_seed(seed: int, purpose: str) -> Iterator[None]:
    """Seed PyTorch's global generators within the block, for code that takes no generator.

    Initialisers of layers and dropout draw from them; afterwards their state is as it was.
    """
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if used else []):
        torch.manual_seed(seed_of(seed, purpose))
        yield
