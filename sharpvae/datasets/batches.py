"""Batches gathered from a packed split that lies whole on the device."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


def to_device(images: np.ndarray, device: torch.device) -> Tensor:
    """uint8 (N, H, W, C) array => uint8 (N, C, H, W) tensor on `device`"""
    return torch.from_numpy(np.array(images)).to(device).permute(0, 3, 1, 2).contiguous()


def to_float(images: Tensor) -> Tensor:
    """uint8 in 0..255 => float32 in [0, 1]"""
    return images.float() / 255


def to_uint8(images: Tensor) -> Tensor:
    """float in [0, 1] => uint8 in 0..255, rounded to nearest"""
    return (images.float() * 255).round().clamp(0, 255).to(torch.uint8)


def shuffled(
    images: Tensor, batch_size: int, generator: torch.Generator, flip: bool = False
) -> Iterator[Tensor]:
    """One epoch in random order; images that fill no whole batch wait for another epoch.

    Args:
        images: uint8 (N, C, H, W).
        batch_size: B, at most N.
        generator: on the CPU; advances by one permutation (and one coin an image for `flip`).
        flip: mirror each image left to right with probability 1/2.

    Yields:
        float32 (B, C, H, W) in [0, 1].
    """
    order = torch.randperm(len(images), generator=generator)
    coins = torch.rand(len(images), generator=generator) < 0.5 if flip else None
    for start in range(0, len(images) - batch_size + 1, batch_size):
        chosen = order[start : start + batch_size].to(images.device)
        batch = to_float(images[chosen])
        if coins is not None:
            mirror = coins[start : start + batch_size].to(images.device)
            batch = torch.where(mirror[:, None, None, None], batch.flip(3), batch)
        yield batch


def in_order(images: Tensor, batch_size: int) -> Iterator[Tensor]:
    """All images in their own order, the last batch as short as it comes.

    uint8 (N, C, H, W) => float32 (<=B, C, H, W) in [0, 1]
    """
    for start in range(0, len(images), batch_size):
        yield to_float(images[start : start + batch_size])
