"""Small images with edges and texture, cheap to make."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sharpvae.scoring.config import MetricsConfig

METRICS = MetricsConfig(
    features="panel", weights=None, batch_size=64, kid_subsets=5, kid_subset_size=None,
    neighbours=None, active_threshold=0.01,
)  # fmt: skip


def discs(count: int, seed: int, size: int = 32, channels: int = 1) -> NDArray[np.uint8]:
    """uint8 (count, size, size, channels): discs with stripes across them, on black."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    cy, cx = random.uniform(0.3, 0.7, (2, count, 1, 1))
    radius, turn = (
        random.uniform(0.15, 0.35, (count, 1, 1)),
        random.uniform(0, np.pi, (count, 1, 1)),
    )
    inside = (y - cy) ** 2 + (x - cx) ** 2 < radius**2
    stripes = np.sin((y * np.sin(turn) + x * np.cos(turn)) * 50) > 0
    tint = random.integers(120, 255, (count, 1, 1, channels))
    return np.asarray((inside * (0.6 + 0.4 * stripes))[..., None] * tint, dtype=np.uint8)
