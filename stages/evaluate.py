"""Score what one VAE drew against the real images, without the VAE itself."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sharpvae.core.artefacts import AGAIN, load_artefact
from sharpvae.core.collapse import collapsed
from sharpvae.core.config import GIVEN, load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.errors import UserError
from sharpvae.core.files import fresh_directory, write_json
from sharpvae.core.threads import use_threads
from sharpvae.images.packed import SPLITS, Split, SplitName, load_split
from sharpvae.scoring import latent
from sharpvae.scoring.config import EvaluateStage
from sharpvae.scoring.evaluate import (
    DRAWN,
    Drawn,
    Ended,
    Evaluated,
    Panel,
    add_disentanglement,
    add_likelihood,
    evaluate,
    posterior,
)
from sharpvae.scoring.measures import digests, equal_reals
from sharpvae.scoring.panel import Images, agreement
from sharpvae.scoring.scores import protocol, training

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")


def main(variant: str, seed: str) -> None:
    """Write scores.json and the sharpness of every image."""
    config = load_stage(Path("configs") / variant / "evaluate.json", EvaluateStage)
    use_threads(config.threads)
    metrics = config.metrics
    drawn, model = Path("data/samples") / variant / seed, Path("models") / variant / seed
    splits = {name: load_split(PREPARED, name) for name in SPLITS}
    panel = Panel(metrics, REFERENCE, splits["test"].images.shape[1:], select(config.device))
    priors = load_artefact(drawn / "priors.json", Drawn)
    given, reconstructed = priors.headline == GIVEN, None
    if given:
        sets = {GIVEN: panel.look_at(drawn / "headline.npy")}
    else:
        pairs = {"reconstruction": len(splits["test"].images)}
        sets = {name: panel.look_at(drawn / f"{name}.npy", pairs.get(name)) for name in DRAWN}
        reconstructed = panel.look_at(
            drawn / "reconstruction_validation.npy", len(splits["validation"].images)
        )
    if priors.headline not in sets:
        raise UserError(str(drawn / "priors.json"), "a headline that a VAE drew", GIVEN, AGAIN)
    headline = sets[priors.headline]
    test = panel.reals("test", splits["test"].images)
    validation = panel.reals("validation", splits["validation"].images)
    train = training(splits["train"].images, test)
    found = evaluate(sets, priors.headline, test, validation, train, metrics, reconstructed)
    described = {
        "variant": variant, "seed": int(seed), "headline": priors.headline,
        "protocol": protocol(metrics, headline, test),
    }  # fmt: skip
    if given:
        reals = (digest for split in splits.values() for digest in digests(split.images))
        described["notes"] = [*priors.notes, *equal_reals(headline.images, set(reals))]
    else:
        described |= of_network(found, drawn, model, headline.images, config, priors, splits)
    write(Path("reports/scores") / variant / seed, model, found, described)
    print(f"{variant}, seed {seed}: {summary(found.scores)}", flush=True)


def of_network(
    found: Evaluated, drawn: Path, model: Path, samples: Images, config: EvaluateStage,
    priors: Drawn, splits: Mapping[SplitName, Split],
) -> dict[str, Any]:  # fmt: skip
    """Add the scores of the VAE itself; return what else scores.json tells of it."""
    metrics, device = config.metrics, select(config.device)
    counts: dict[str, int] = {name: len(split.images) for name, split in splits.items()}
    add_likelihood(found, drawn, counts)
    mean, log_var = posterior(drawn / "posterior.npz", counts["test"])
    add_disentanglement(found, mean, splits["test"].factors)
    health = latent.latent_health(mean, log_var, metrics.active_threshold)
    fallen, sentence = collapsed(health["kl"], int(health["signal_axes"]), health["information"])
    ended = load_artefact(model / "summary.json", Ended)
    found.scores |= health | {
        "class_agreement": agreement(drawn, samples, REFERENCE, metrics.batch_size, device),
        "beta_sigma": ended.beta_sigma,
        "beta_whole": ended.beta_whole,
    }
    return {
        "collapsed": fallen, "collapse": sentence,
        "kl_per_dimension": latent.kl_per_dimension(mean, log_var).tolist(),
        "nats": priors.validation,
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
