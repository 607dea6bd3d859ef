"""A repository with a toy VAE, and what the stages tell of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sharpvae.core.files import write_json
from sharpvae.core.seeds import global_seed
from sharpvae.images.packed import Card, write_card
from sharpvae.sampling.config import SampleConfig
from sharpvae.sampling.pictures import draw
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.vae import VAE, save_vae
from tests.conftest import IMPROVED
from tests.feeds import feed_of

NAMES = ["ash", "beech", "cedar"]
COUNT = 12  # images that the stage draws


def images(count: int, channels: int = 1) -> np.ndarray:
    """Dark ones and light ones in turn, as different codes: uint8 (count, 16, 16, channels)"""
    random = np.random.default_rng(count)
    pixels = random.integers(0, 90, (count, 16, 16, channels), dtype=np.uint8)
    pixels[1::2] += 160
    return pixels


def make(root: Path, config: ModelConfig, channels: int = 1, **sample: Any) -> Path:
    """Write models/toy/5, and data/samples/toy/5 as the stage `sample` writes it; the first."""
    with global_seed(0, "weights"):
        vae = VAE(config, channels, 16, classes=3).eval()
    with torch.no_grad():  # codes as far apart as those of a trained one
        vae.encoder.mean.weight.mul_(50)
    folder, drawn = root / "models/toy/5", root / "data/samples/toy/5"
    folder.mkdir(parents=True)
    drawn.mkdir(parents=True)
    save_vae(folder, vae, config, channels, 16)
    few = {"components": [2], "draws": 200, "signal": 0.1, "axes": 4, "iterations": 9}
    flow = {"steps": 60, "width": 16, "batch_size": 64}
    given = {"count": COUNT, "mixture": few, "flow": flow, "prior": "flow", **sample}
    planes = torch.from_numpy(images(120, channels)).permute(0, 3, 1, 2)
    feed = feed_of(planes, torch.arange(120) % 3 if config.conditional else None)
    draw(
        drawn, vae, dict.fromkeys(("train", "validation", "test"), feed),
        SampleConfig.model_validate({**IMPROVED.sample.model_dump(), **given}), 5,
        NAMES if config.conditional else None,
    )  # fmt: skip
    return folder


def tell(root: Path, name: str = "mnist5k", licence: str = "CC BY-SA 3.0", size: int = 16) -> None:
    """Write the scores of `toy`, the floors, and the card of its data."""
    scores = {"fid": 7.61122, "fid_ci": 0.5, "fid_prior": 138.914, "coverage": 0.957, "psnr": None}
    write_json(root / "reports/metrics.json", {"toy": scores})
    floors = {"real": {"fid": 2.4048, "coverage": 0.979}, "blur_1": {"fid": 267.52, "kid": 49.6}}
    write_json(root / "reports/floors.json", floors)
    counts = {"train": 3600, "validation": 400, "test": 1000}
    card = Card(
        name=name, title="Leaves | of trees", licence=licence, citation="Doe: Leaves, 1998",
        source="/home/jane/leaves", image_size=size, channels=1, class_names=NAMES, counts=counts,
        class_counts=None, factor_names=None, sha256={}, fit="pad", subset=None, classes=None,
        binarize=None, seed=0, duplicates_removed=0, skipped=[],
    )  # fmt: skip
    (root / "data/prepared").mkdir(parents=True, exist_ok=True)
    write_card(root / "data/prepared", card)
