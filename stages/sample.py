"""Let one trained VAE draw: samples, the test split reconstructed, and pictures.

Of a variant that is images made elsewhere, take those.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from sharpvae.core.config import GIVEN, GivenStage, load_given, load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.core.threads import use_threads
from sharpvae.datasets.given import chosen, digest, fitting, read_images
from sharpvae.images.feed import Feed
from sharpvae.images.packed import SPLITS, load_card, load_split
from sharpvae.sampling import likelihood
from sharpvae.sampling.config import SampleStage, scored, unknown_classes
from sharpvae.sampling.pictures import draw
from sharpvae.vae.vae import load_vae

PREPARED, DRAWN = Path("data/prepared"), Path("data/samples")


def main(variant: str, seed: str) -> None:
    """Write the images and the posterior that `evaluate` scores without the VAE, and pictures."""
    path = Path("configs") / variant / "sample.json"
    if (given := load_given(path)) is not None:
        take(given, seed)
        return
    config = load_stage(path, SampleStage)
    use_threads(config.threads)
    sample, device = config.sample, select(config.device)
    class_names = load_card(PREPARED).class_names
    if class_names is not None:  # without labels the picture is left out, and says so
        wrong = unknown_classes("sample.arithmetic", sample.arithmetic, class_names)
        if wrong:
            raise UserErrors(wrong)
    splits = {name: load_split(PREPARED, name) for name in SPLITS}
    samples = sample.likelihood.samples
    if samples > 0 and config.likelihood == "bernoulli":
        for name in likelihood.SCORED:
            likelihood.refuse_grey(splits[name], name, samples)
    with fresh_directory(DRAWN / variant / seed) as directory:
        vae = load_vae(Path("models") / variant / seed, device)
        feeds = {name: Feed(split, device) for name, split in splits.items()}
        explorer, told = draw(directory, vae, feeds, sample, int(seed), class_names)
        left_out = explorer.paint(directory)
        none = likelihood.measure(
            directory, vae, feeds, config.likelihood, samples, sample.batch_size, int(seed)
        )
    mixture, flow = told["mixture"], told["flow"]
    print(
        f"{variant}, seed {seed}: {told['drawn']} samples from the prior, as many from a "
        f"mixture of {mixture['chosen']} and from a flow over {flow['axes']} of "
        f"{mixture['latent_dim']} axes; headline: {told['headline']}; "
        f"{explorer.test.count} reconstructions",
        *([f"the flow is one Gaussian: {flow['one_gaussian']}"] if flow["one_gaussian"] else []),
        *([f"log p(x) is left out: {none}"] if none and samples > 0 else []),
        *(f"no {name}.png: {reason}" for name, reason in left_out.items()),
        sep="\n",
        flush=True,
    )


def take(given: GivenStage, seed: str) -> None:
    """Write the images of one made elsewhere, the same for every seed, as `evaluate` reads them.

    Raises:
        UserError: they cannot be read, do not fit the prepared images, or are not those that
            `configure` saw.
    """
    test = load_split(PREPARED, "test").images
    found = read_images(given.samples, given.samples)
    if digest(given.samples) != given.sha256:
        expected, fix = "the samples that `configure` saw", "dvc repro --force configure"
        raise UserError(given.samples, expected, "others", f"look at them again: {fix}")
    found = fitting(found, test.shape[1:], f"variants.{given.variant}.samples")
    images = found.images[chosen(len(found.images), scored(given.count, len(test)))]
    with fresh_directory(DRAWN / given.variant / seed) as directory:
        np.save(directory / "headline.npy", images)
        write_json(directory / "priors.json", {"headline": GIVEN, "notes": found.notes})
    counted = f"{len(images)} of {len(found.images)} images of {given.samples}"
    print(f"{given.variant}, seed {seed}: {counted}", *found.notes, sep="\n", flush=True)


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
