"""Let one trained VAE draw: samples, the test split reconstructed, and pictures."""

from __future__ import annotations

import sys
from pathlib import Path

from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.errors import UserErrors
from sharpvae.core.files import fresh_directory
from sharpvae.images.feed import Feed
from sharpvae.images.packed import SPLITS, load_card, load_split
from sharpvae.sampling import likelihood
from sharpvae.sampling.config import SampleStage, unknown_classes
from sharpvae.sampling.pictures import draw
from sharpvae.vae.vae import load_vae

PREPARED = Path("data/prepared")


def main(variant: str, seed: str) -> None:
    """Write the images and the posterior that `evaluate` scores without the VAE, and pictures."""
    config = load_stage(Path("configs") / variant / "sample.json", SampleStage)
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
    with fresh_directory(Path("data/samples") / variant / seed) as directory:
        vae = load_vae(Path("models") / variant / seed, device)
        feeds = {name: Feed(split, device) for name, split in splits.items()}
        explorer, chosen = draw(directory, vae, feeds, sample, int(seed), class_names)
        left_out = explorer.paint(directory)
        none = likelihood.measure(
            directory, vae, feeds, config.likelihood, samples, sample.batch_size, int(seed)
        )
    mixture, flow = chosen["mixture"], chosen["flow"]
    print(
        f"{variant}, seed {seed}: {chosen['drawn']} samples from the prior, as many from a "
        f"mixture of {mixture['chosen']} and from a flow over {flow['axes']} of "
        f"{mixture['latent_dim']} axes; headline: {chosen['headline']}; "
        f"{explorer.test.count} reconstructions",
        *([f"the flow is one Gaussian: {flow['one_gaussian']}"] if flow["one_gaussian"] else []),
        *([f"log p(x) is left out: {none}"] if none and samples > 0 else []),
        *(f"no {name}.png: {reason}" for name, reason in left_out.items()),
        sep="\n",
        flush=True,
    )


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
