"""A VAE to try the gallery with where nothing is trained."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sharpvae.config.experiment import prepare_stage, train_stage
from sharpvae.config.settings import configured
from sharpvae.core.console import Progress
from sharpvae.core.devices import borrowed
from sharpvae.core.files import fresh_directory
from sharpvae.datasets.pack import prepare
from sharpvae.gallery.models import MODELS, PREPARED, toy_root
from sharpvae.images.feed import Feed
from sharpvae.images.packed import SPLITS, load_split
from sharpvae.sampling.pictures import draw
from sharpvae.training.build import build
from sharpvae.training.loop import Epoch
from sharpvae.vae.vae import save_vae

SEED, NAME = 0, "toy"
UPDATES = 400  # half a minute on two cores
SETTINGS = {
    "preset": "laptop",
    "data": {"name": "mnist5k", "path": None, "subset": None, "classes": None},
    "loss": {"weights": {"perceptual": 0}},  # whose critic would have to be trained first
    "train": {"updates": UPDATES, "film_every": 0},
    "sample": {"flow": {"steps": 300}, "mixture": {"components": [10]}},
}


def train_toy(told: Callable[[float], None]) -> Path:
    """Train the variant `improved` on the 5000 digits, for less long than it should be.

    Args:
        told: called with the share of the training that is done.

    Returns:
        a workspace with data/prepared, models/toy/0 and data/samples/toy/0.
    """
    experiment = configured(SETTINGS)
    stage, own = train_stage(experiment, "improved"), experiment.variants["improved"]
    data = prepare_stage(experiment)
    with fresh_directory(toy_root()) as root, borrowed("cpu") as device:
        packed = root / PREPARED
        packed.mkdir(parents=True)
        card = prepare(data.data, data.minimum, root / "raw", packed, Progress())
        trainer = build(stage, SEED, device, prepared=packed)
        for record in trainer.run():
            if isinstance(record, Epoch):
                told(record.step / UPDATES)
        test = Feed(load_split(packed, "test"), device)
        feeds = dict(zip(SPLITS, (trainer.train, trainer.validation, test), strict=True))
        folder, drawn = (root / part / NAME / str(SEED) for part in (MODELS, "data/samples"))
        folder.mkdir(parents=True)
        drawn.mkdir(parents=True)
        vae = trainer.kept()
        save_vae(folder, vae, stage.model, card.channels, card.image_size)
        draw(drawn, vae, feeds, own.sample, SEED, card.class_names)
        shutil.rmtree(root / "raw", ignore_errors=True)
    return toy_root()
