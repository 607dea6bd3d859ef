"""Score what one VAE drew against the real test split, without the VAE itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.files import fresh_directory, read_json, write_json
from sharpvae.images.packed import load_split
from sharpvae.scoring import judge, measures
from sharpvae.scoring.config import EvaluateStage

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")
SUFFIXES = {"prior": "", "mixture": "_mixture", "reconstruction": "_reconstruction"}  # of scores


def main(variant: str, seed: str) -> None:
    """Write scores.json and the sharpness of every image."""
    config = load_stage(Path("configs") / variant / "evaluate.json", EvaluateStage)
    metrics, device = config.metrics, select(config.device)
    drawn, model = Path("data/samples") / variant / seed, Path("models") / variant / seed
    fakes = {name: np.load(drawn / f"{name}.npy") for name in SUFFIXES}
    prior, posterior = fakes["prior"], np.load(drawn / "posterior.npz")
    kl = measures.kl_per_dimension(posterior["mean"], posterior["log_var"])
    sharpness = {name: measures.laplacian_variance(images) for name, images in fakes.items()}
    sharp = {f"sharpness{SUFFIXES[name]}": values for name, values in sharpness.items()}
    real = np.load(REFERENCE / "features.npz")["test"]

    extractor = judge.load_extractor(metrics, REFERENCE, device)
    scores: dict[str, Any] = {}
    for name, images in fakes.items():
        fake = judge.extract(extractor, images, metrics.batch_size, device)
        found = judge.fidelity(metrics, real, fake)
        scores |= {f"{key}{SUFFIXES[name]}": value for key, value in found.items()}
    scores |= measures.appearance(prior, sharp, read_json(REFERENCE / "reference.json"))
    scores |= measures.likeness(load_split(PREPARED, "test").images, fakes["reconstruction"])
    scores |= {
        "active_units": measures.active_units(posterior["mean"], metrics.active_threshold),
        "kl": float(kl.sum()),
        "class_agreement": judge.judged_agreement(
            drawn, prior, REFERENCE, metrics.batch_size, device
        ),
        "beta_sigma": read_json(model / "summary.json")["beta_sigma"],
    }
    with fresh_directory(Path("reports/scores") / variant / seed) as directory:
        for name in ("summary.json", "history.csv"):  # the report reads all of a run in one place
            shutil.copy(model / name, directory)
        per_image: dict[str, Any] = {f"{name}_sharpness": sharpness[name] for name in SUFFIXES}
        np.savez(directory / "per_image.npz", **per_image)
        write_json(directory / "scores.json", {
            "variant": variant,
            "seed": int(seed),
            "scores": scores,
            "kl_per_dimension": kl.tolist(),
            "protocol": judge.protocol(metrics, len(prior), len(real), real.shape[1]),
        })  # fmt: skip
    print(
        f"{variant}, seed {seed}: FID {scores['fid']:.4g} from the prior, "
        f"{scores['fid_mixture']:.4g} from the mixture, {scores['fid_reconstruction']:.4g} "
        f"reconstructed, sharpness {scores['sharpness']:.3f} of the reals",
        flush=True,
    )


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
