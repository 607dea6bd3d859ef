"""A workspace with toy VAEs, images with classes and attributes, and scores."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from sharpvae.images.packed import load_card, write_card
from sharpvae.vae.config import ModelConfig
from tests.conftest import toy_model
from tests.trained.toys import NAMES, images, make, tell

COUNTS = {"train": 60, "validation": 20, "test": 30}
ATTRIBUTES = ["bald", "smiling"]


def lay(root: Path, channels: int = 1, **model: Any) -> Path:
    """Write models/toy/5 with draws, scores and images; the root."""
    make(root, ModelConfig.model_validate(toy_model(**model)), channels)
    tell(root)
    prepared = root / "data/prepared"
    for split, count in COUNTS.items():
        np.save(prepared / f"{split}.npy", images(count, channels))
        np.save(prepared / f"{split}_labels.npy", np.arange(count) % len(NAMES))
        np.save(prepared / f"{split}_factors.npy", np.arange(2 * count).reshape(count, 2) // 3 % 2)
    card = dataclasses.replace(
        load_card(prepared), counts=COUNTS, channels=channels, factor_names=ATTRIBUTES
    )
    write_card(prepared, card)
    return root
