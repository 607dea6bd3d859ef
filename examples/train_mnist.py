"""From 5000 digits to a picture of samples, without DVC: train_mnist.py [preset [folder]]"""

import sys
from pathlib import Path

from sharpvae.config.experiment import prepare_stage, train_stage
from sharpvae.config.settings import configured
from sharpvae.core.console import Progress
from sharpvae.core.devices import select
from sharpvae.datasets.pack import prepare
from sharpvae.images.feed import Feed
from sharpvae.images.packed import SPLITS, load_split
from sharpvae.sampling.pictures import draw
from sharpvae.training.build import build
from sharpvae.training.loop import Epoch


def main(preset: str = "laptop", folder: str = "mnist") -> None:
    """Prepare, train the variant `sharp`, and write what it draws to <folder>/headline.png."""
    place, seed = Path(folder), 0
    place.mkdir(parents=True, exist_ok=True)
    experiment = configured({"preset": preset, "data": {"name": "mnist5k"}})
    data, sharp = prepare_stage(experiment), train_stage(experiment, "sharp")
    card = prepare(data.data, data.minimum, place / "raw", place, Progress())

    trainer = build(sharp, seed, select(sharp.device), prepared=place)
    for record in trainer.run():
        if isinstance(record, Epoch):
            print(f"epoch {record.epoch}: loss {record.validation['loss']:.1f}", flush=True)

    test = Feed(load_split(place, "test"), trainer.train.device)
    own, sample = (trainer.train, trainer.validation), experiment.variants["sharp"].sample
    feeds = dict(zip(SPLITS, (*own, test), strict=True))
    draw(place, trainer.kept(), feeds, sample, seed, card.class_names)
    print(f"drawn: {place / 'headline.png'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
