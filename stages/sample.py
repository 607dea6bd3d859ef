"""Let one trained VAE draw: samples from the prior, and the test split reconstructed."""

from __future__ import annotations

from pathlib import Path

from sharpvae.config.stage_files import SampleStage, load_stage
from stages.console import run

PREPARED = Path("data/prepared")


def main(variant: str, seed: str) -> None:
    """Write the images and the posterior that `evaluate` scores without the VAE."""
    config = load_stage(Path("configs") / variant / "sample.json", SampleStage)
    import numpy as np

    from sharpvae.artefacts import fresh_directory
    from sharpvae.datasets.batches import Feed
    from sharpvae.datasets.packed import load_split
    from sharpvae.devices import select
    from sharpvae.networks.storage import load_vae
    from sharpvae.sampling.draw import encode, from_prior

    device = select(config.device)
    vae = load_vae(Path("models") / variant / seed, device)
    count, batch_size = config.sample.count, config.sample.batch_size
    with fresh_directory(Path("data/samples") / variant / seed) as directory:
        np.save(directory / "prior.npy", from_prior(vae, count, batch_size, int(seed)))
        test = Feed(load_split(PREPARED, "test"), device)
        encoded = encode(vae, test, batch_size)
        np.save(directory / "reconstruction.npy", encoded.reconstructions)
        np.savez(directory / "posterior.npz", mean=encoded.mean, log_var=encoded.log_var)
    print(f"{variant}, seed {seed}: {count} samples and {test.count} reconstructions", flush=True)


if __name__ == "__main__":
    run("stages.sample", main, "variant", "seed")
