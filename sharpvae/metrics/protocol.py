"""What must stand beside a score for it to mean anything."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from sharpvae.config.schema import MetricsConfig

LIBRARIES = ("torch", "torch-fidelity", "numpy", "scipy")


def protocol(metrics: MetricsConfig, fakes: int, reals: int, feature_dim: int) -> dict[str, Any]:
    """Counts, split, extractor and library versions of one set of scores."""
    return {
        "fakes": fakes,
        "reals": reals,
        "split": "test",
        "features": metrics.features,
        "feature_dim": feature_dim,
        "kid_subsets": metrics.kid_subsets,
        "kid_subset_size": metrics.kid_subset_size,
        "libraries": {name: version(name) for name in LIBRARIES},
    }
