"""Score what one VAE drew against the real test split. The VAE itself is out of reach here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.files import fresh_directory, read_json, write_json
from sharpvae.images.packed import load_split
from sharpvae.perception.fidelity import fid, kid
from sharpvae.scoring.config import EvaluateStage
from sharpvae.scoring.judge import extract, judged_agreement, load_extractor, protocol
from sharpvae.scoring.measures import (
    active_units,
    exposure,
    kl_per_dimension,
    laplacian_variance,
    psnr,
    ssim,
)

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")
PSNR_OF_EQUALS = 100.0  # dB; stands in for infinity where an image is met to the last bit


def main(variant: str, seed: str) -> None:
    """Write scores.json and the sharpness of every image."""
    config = load_stage(Path("configs") / variant / "evaluate.json", EvaluateStage)

    drawn = Path("data/samples") / variant / seed
    prior, mixture, reconstruction = (
        np.load(drawn / f"{name}.npy") for name in ("prior", "mixture", "reconstruction")
    )
    test = load_split(PREPARED, "test").images
    summary = read_json(Path("models") / variant / seed / "summary.json")
    real = np.load(REFERENCE / "features.npz")["test"]
    sharpness = {
        "prior_sharpness": laplacian_variance(prior),
        "mixture_sharpness": laplacian_variance(mixture),
        "reconstruction_sharpness": laplacian_variance(reconstruction),
    }
    health, kl_per_dimension = latent_health(drawn / "posterior.npz", config)
    scores = {
        **distances(
            config, real, {"": prior, "_mixture": mixture, "_reconstruction": reconstruction}
        ),
        **appearance(prior, sharpness),
        **likeness(test, reconstruction),
        **health,
        "class_agreement": agreement(config, drawn, prior),
        "beta_sigma": summary["beta_sigma"],
    }
    with fresh_directory(Path("reports/scores") / variant / seed) as directory:
        np.savez(directory / "per_image.npz", **sharpness)  # type: ignore[arg-type]
        write_json(
            directory / "scores.json",
            {
                "variant": variant,
                "seed": int(seed),
                "scores": scores,
                "kl_per_dimension": kl_per_dimension,
                "protocol": protocol(config.metrics, len(prior), len(real), real.shape[1]),
            },
        )
    print(
        f"{variant}, seed {seed}: FID {scores['fid']:.4g} from the prior, "
        f"{scores['fid_mixture']:.4g} from the mixture, {scores['fid_reconstruction']:.4g} "
        f"reconstructed, sharpness {scores['sharpness']:.3f} "
        "of the reals",
        flush=True,
    )


def distances(
    config: EvaluateStage, real: NDArray[np.float64], fakes: dict[str, NDArray[np.uint8]]
) -> dict[str, float]:
    """FID and KID of each set of fakes, by the ending of its scores, to the real test split."""

    metrics, device = config.metrics, select(config.device)
    extractor = load_extractor(metrics, REFERENCE, device)
    scores = {}
    for suffix, images in fakes.items():
        fake = extract(extractor, images, metrics.batch_size, device)
        scores[f"fid{suffix}"] = fid(real, fake)
        scores[f"kid{suffix}"] = kid(real, fake, metrics.kid_subsets, metrics.kid_subset_size)
    return scores


def appearance(
    prior: NDArray[np.uint8], sharpness: dict[str, NDArray[np.float64]]
) -> dict[str, float]:
    """Sharpness as a ratio to the reals, exposure as it is and as a gap to the reals."""

    real = read_json(REFERENCE / "reference.json")
    names = {
        "sharpness": "prior_sharpness",
        "sharpness_mixture": "mixture_sharpness",
        "sharpness_reconstruction": "reconstruction_sharpness",
    }
    scores = {key: float(sharpness[n].mean() / real["sharpness"]) for key, n in names.items()}
    for name, value in vars(exposure(prior)).items():
        scores |= {name: value, f"{name}_gap": value - real[name]}
    return scores


def agreement(config: EvaluateStage, drawn: Path, prior: NDArray[np.uint8]) -> float | None:
    """How often the judge sees the class that was asked for; None where none was."""

    device = select(config.device)
    return judged_agreement(drawn, prior, REFERENCE, config.metrics.batch_size, device)


def likeness(test: NDArray[np.uint8], reconstruction: NDArray[np.uint8]) -> dict[str, float]:
    """PSNR in dB and SSIM of the reconstructions, means over images."""

    return {
        "psnr": float(np.minimum(psnr(test, reconstruction), PSNR_OF_EQUALS).mean()),
        "ssim": float(ssim(test, reconstruction).mean()),
    }


def latent_health(path: Path, config: EvaluateStage) -> tuple[dict[str, Any], list[float]]:
    """Active units and KL in nats; and the KL of each dimension."""

    posterior = np.load(path)
    per_dimension = kl_per_dimension(posterior["mean"], posterior["log_var"])
    active = active_units(posterior["mean"], config.metrics.active_threshold)
    return {"active_units": active, "kl": float(per_dimension.sum())}, per_dimension.tolist()


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
