"""Score what one VAE drew against the real images, without the VAE itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sharpvae.core.arrays import read_arrays
from sharpvae.core.collapse import collapsed
from sharpvae.core.config import GIVEN, load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.files import fresh_directory, read_json, write_json
from sharpvae.core.threads import use_threads
from sharpvae.images.packed import SPLITS, load_split
from sharpvae.scoring import latent
from sharpvae.scoring.config import EvaluateStage
from sharpvae.scoring.evaluate import (
    DRAWN,
    Evaluated,
    Panel,
    add_disentanglement,
    add_likelihood,
    evaluate,
)
from sharpvae.scoring.measures import digests, equal_reals
from sharpvae.scoring.panel import Images, agreement
from sharpvae.scoring.scores import Looked, protocol

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")


def main(variant: str, seed: str) -> None:
    """Write scores.json and the sharpness of every image."""
    config = load_stage(Path("configs") / variant / "evaluate.json", EvaluateStage)
    use_threads(config.threads)
    metrics = config.metrics
    drawn, model = Path("data/samples") / variant / seed, Path("models") / variant / seed
    splits = {name: load_split(PREPARED, name) for name in SPLITS}
    panel = Panel(metrics, REFERENCE, splits["test"].images.shape[1:], select(config.device))
    priors = read_json(drawn / "priors.json")
    given, reconstructed = priors["headline"] == GIVEN, None
    if given:
        sets = {GIVEN: panel.look_at(drawn / "headline.npy")}
    else:
        sets = {name: panel.look_at(drawn / f"{name}.npy") for name in DRAWN}
        reconstructed = panel.look_at(drawn / "reconstruction_validation.npy")
    headline = sets[priors["headline"]]
    test = panel.reals("test", splits["test"].images)
    validation = panel.reals("validation", splits["validation"].images)
    train = Looked(splits["train"].images, {})
    found = evaluate(sets, priors["headline"], test, validation, train, metrics, reconstructed)
    described = {
        "variant": variant, "seed": int(seed), "headline": priors["headline"],
        "protocol": protocol(metrics, headline, test),
    }  # fmt: skip
    if given:
        reals = (digest for split in splits.values() for digest in digests(split.images))
        described["notes"] = [*priors["notes"], *equal_reals(headline.images, set(reals))]
    else:
        described |= of_network(found, drawn, model, headline.images, config)
    write(Path("reports/scores") / variant / seed, model, found, described)
    print(f"{variant}, seed {seed}: {summary(found.scores)}", flush=True)


def of_network(
    found: Evaluated, drawn: Path, model: Path, samples: Images, config: EvaluateStage
) -> dict[str, Any]:
    """Add the scores of the VAE itself; return what else scores.json tells of it."""
    metrics, device = config.metrics, select(config.device)
    add_likelihood(found, drawn)
    posterior = read_arrays(drawn / "posterior.npz", "mean", "log_var")
    mean, log_var = posterior["mean"], posterior["log_var"]
    add_disentanglement(found, mean, load_split(PREPARED, "test").factors)
    health = latent.latent_health(mean, log_var, metrics.active_threshold)
    fallen, sentence = collapsed(health["kl"], int(health["signal_axes"]), health["information"])
    ended = read_json(model / "summary.json")
    found.scores |= health | {
        "class_agreement": agreement(drawn, samples, REFERENCE, metrics.batch_size, device),
        "beta_sigma": ended["beta_sigma"],
        "beta_whole": ended["beta_whole"],
    }
    return {
        "collapsed": fallen, "collapse": sentence,
        "kl_per_dimension": latent.kl_per_dimension(mean, log_var).tolist(),
        "nats": read_json(drawn / "priors.json")["validation"],
    }  # fmt: skip


def write(directory: Path, model: Path, found: Evaluated, described: dict[str, Any]) -> None:
    """Write all of one run that the report reads to one place."""
    with fresh_directory(directory) as folder:
        for name in ("summary.json", "history.csv"):
            shutil.copy(model / name, folder)
        sharpness = {f"{name}_sharpness": values for name, values in found.sharpness.items()}
        np.savez(folder / "per_image.npz", **sharpness)  # type: ignore[arg-type]
        scores = {key: value for key, value in vars(found).items() if key != "sharpness"}
        write_json(folder / "scores.json", described | scores)


def summary(scores: dict[str, float | None]) -> str:
    """The headline scores in one line; `-` for those that do not exist."""

    def shown(key: str) -> str:
        value = scores[key]
        return "-" if value is None else f"{value:.3g}"

    fids = {
        "prior": "from the prior", "mixture": "from the mixture", "flow": "from the flow",
        "reconstruction": "reconstructed", GIVEN: "as given",
    }  # fmt: skip
    told = [f"{shown(key)} {of}" for kind, of in fids.items() if (key := f"fid_{kind}") in scores]
    headline = f"headline: blur {shown('blur_px')} px, coverage {shown('coverage')}"
    return f"FID {', '.join(told)}; {headline}"


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
