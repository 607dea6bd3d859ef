"""Let one trained VAE draw: samples, the test split reconstructed, and what else it can do."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.errors import UserErrors
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.core.seeds import generator
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_card, load_split
from sharpvae.images.tiles import grid
from sharpvae.sampling.config import SampleConfig, SampleStage, unknown_classes
from sharpvae.sampling.mixture import codes_of, fit_mixture
from sharpvae.sampling.pictures import Explorer
from sharpvae.vae.draw import asked_labels, decode, encode, from_prior
from sharpvae.vae.vae import load_vae

PREPARED = Path("data/prepared")


def main(variant: str, seed: str) -> None:
    """Write the images and the posterior that `evaluate` scores without the VAE, and pictures."""
    config = load_stage(Path("configs") / variant / "sample.json", SampleStage)

    device = select(config.device)
    class_names = load_card(PREPARED).class_names
    check_arithmetic(config.sample, class_names)
    model = Path("models") / variant / seed
    with fresh_directory(Path("data/samples") / variant / seed) as directory:
        explorer, tried = draw(directory, model, config.sample, int(seed), device, class_names)
        left_out = paint(directory, explorer)
    print(
        f"{variant}, seed {seed}: {config.sample.count} samples from the prior, as many from a "
        f"mixture of {tried['chosen']} over {tried['axes']} of {tried['latent_dim']} axes; "
        f"{explorer.test.count} reconstructions",
        *(f"no {name}.png: {reason}" for name, reason in left_out.items()),
        sep="\n",
        flush=True,
    )


def check_arithmetic(sample: SampleConfig, class_names: list[str] | None) -> None:
    """Raises: UserErrors: `sample.arithmetic` names a class that is not there."""

    wrong = unknown_classes("sample.arithmetic", sample.arithmetic, class_names or [])
    if wrong and class_names is not None:  # without labels the picture is left out, and says so
        raise UserErrors(wrong)


def draw(
    directory: Path,
    model: Path,
    sample: SampleConfig,
    seed: int,
    device: torch.device,
    class_names: list[str] | None,
) -> tuple[Explorer, dict[str, Any]]:
    """Write what is scored; what the pictures need, and how the mixture was chosen."""

    vae, count, batch_size = load_vae(model, device), sample.count, sample.batch_size
    train, validation, test = (
        Feed(load_split(PREPARED, "train"), device),
        Feed(load_split(PREPARED, "validation"), device),
        Feed(load_split(PREPARED, "test"), device),
    )
    asked = None
    if vae.classes and train.labels is not None:
        asked = asked_labels(train.labels, count, seed)
        np.save(directory / "labels.npy", asked.numpy())
    np.save(directory / "prior.npy", from_prior(vae, count, batch_size, seed, asked))
    codes, unseen = (
        codes_of(vae, feed, sample.mixture.draws, batch_size, seed) for feed in (train, validation)
    )
    mixture, tried = fit_mixture(codes, unseen, sample.mixture, seed)
    write_json(directory / "mixture.json", tried)
    latents = mixture.sample(count, generator(seed, "mixture"))
    np.save(directory / "mixture.npy", decode(vae, latents, asked, batch_size))
    encoded = encode(vae, test, batch_size)
    np.save(directory / "reconstruction.npy", encoded.reconstructions)
    np.savez(directory / "posterior.npz", mean=encoded.mean, log_var=encoded.log_var)
    return Explorer(vae, test, encoded, codes, asked, class_names, sample, seed), tried


def paint(directory: Path, explorer: Explorer) -> dict[str, str]:
    """Write every picture, and pictures.json on what they show; which are left out, and why."""

    columns = explorer.config.columns
    for name in ("prior", "mixture"):
        images = np.load(directory / f"{name}.npy", mmap_mode="r")[: columns**2]
        grid(images, columns).save(directory / f"{name}.png")
    shown = {}
    for name, picture in explorer.pictures():
        shown[name] = picture.shows
        if picture.grid is not None:
            picture.grid.save(directory / f"{name}.png")
    write_json(directory / "pictures.json", shown)
    return {name: shows["left_out"] for name, shows in shown.items() if "left_out" in shows}


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
