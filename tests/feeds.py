"""Feeds of what a test made."""

from __future__ import annotations

import torch
from torch import Tensor

from sharpvae.images.feed import Feed
from sharpvae.images.packed import Split


def feed_of(images: Tensor, labels: Tensor | None = None) -> Feed:
    """uint8 (N, C, H, W), int64 (N,) => a feed on the CPU"""
    packed = images.permute(0, 2, 3, 1).contiguous().numpy()
    packed.flags.writeable = False  # as the map of a file
    return Feed(Split(packed, None if labels is None else labels.numpy()), torch.device("cpu"))
