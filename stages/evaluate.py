"""Score what one VAE drew against the real images, without the VAE itself."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np

from sharpvae.core.collapse import collapsed
from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.core.devices import select
from sharpvae.core.errors import UserError
from sharpvae.core.files import fresh_directory, read_json, write_json
from sharpvae.images.packed import load_split
from sharpvae.scoring import latent, panel
from sharpvae.scoring.config import EvaluateStage
from sharpvae.scoring.evaluate import SUFFIXES, Drawn, evaluate
from sharpvae.scoring.scores import Reals

PREPARED, REFERENCE = Path("data/prepared"), Path("models/reference")


def main(variant: str, seed: str) -> None:
    """Write scores.json and the sharpness of every image."""
    config = load_stage(Path("configs") / variant / "evaluate.json", EvaluateStage)
    metrics, device = config.metrics, select(config.device)
    drawn, model = Path("data/samples") / variant / seed, Path("models") / variant / seed
    splits = {name: load_split(PREPARED, name).images for name in ("train", "validation", "test")}
    scales, reals = panel.load_reals(REFERENCE / "reals.npz")
    judges = panel.members(metrics, splits["test"].shape[3], REFERENCE)
    weights = {n: j["weight"] for n, j in read_json(REFERENCE / "reference.json")["judges"].items()}

    def load(name: str) -> Drawn:
        images = np.load(drawn / f"{name}.npy")
        if images.shape[1:] != splits["test"].shape[1:]:
            expected = f"images of {splits['test'].shape[1:]}, as the prepared ones"
            found = f"of {images.shape[1:]}"
            raise UserError(str(drawn / f"{name}.npy"), expected, found, "dvc repro sample")
        return Drawn(images, {
            judge: scales[judge](panel.extract(network, images, metrics.batch_size, device))
            for judge, network in judges.items()
        })  # fmt: skip

    def real(split: str) -> Reals:
        own = {name: reals[f"{name}/{split}"] for name in judges}
        return Reals(splits[split], own, weights)

    sets = {name: load(name) for name in SUFFIXES}
    found = evaluate(
        sets, load("reconstruction_validation"), real("test"), real("validation"),
        splits["train"], metrics,
    )  # fmt: skip
    scores = found["scores"]
    posterior = np.load(drawn / "posterior.npz")
    health = latent.latent_health(posterior["mean"], posterior["log_var"], metrics.active_threshold)
    fallen, sentence = collapsed(health["kl"], int(health["signal_axes"]), health["information"])
    ended = read_json(model / "summary.json")
    scores |= health | {
        "class_agreement": panel.agreement(
            drawn, sets["prior"].images, REFERENCE, metrics.batch_size, device
        ),
        "beta_sigma": ended["beta_sigma"],
        "beta_whole": ended["beta_whole"],
    }
    write(Path("reports/scores") / variant / seed, model, found, {
        "variant": variant, "seed": int(seed), "collapsed": fallen, "collapse": sentence,
        "kl_per_dimension": latent.kl_per_dimension(
            posterior["mean"], posterior["log_var"]
        ).tolist(),
        "protocol": panel.protocol(metrics, len(sets["prior"].images), reals),
    })  # fmt: skip
    print(f"{variant}, seed {seed}: {summary(scores)}", flush=True)


def write(directory: Path, model: Path, found: dict[str, Any], described: dict[str, Any]) -> None:
    """Write all of one run that the report reads to one place."""
    with fresh_directory(directory) as folder:
        for name in ("summary.json", "history.csv"):
            shutil.copy(model / name, folder)
        np.savez(folder / "per_image.npz", **{
            f"{name}_sharpness": values for name, values in found.pop("sharpness").items()
        })  # fmt: skip
        write_json(folder / "scores.json", described | found)


def summary(scores: dict[str, float | None]) -> str:
    """The headline scores in one line; `-` for those that do not exist."""

    def shown(key: str) -> str:
        value = scores[key]
        return "-" if value is None else f"{value:.3g}"

    return (
        f"FID {shown('fid')} from the prior, {shown('fid_mixture')} from the mixture, "
        f"{shown('fid_reconstruction')} reconstructed; blur {shown('blur_px')} px, "
        f"coverage {shown('coverage')}"
    )


if __name__ == "__main__":
    run(main, sys.argv, "variant", "seed")
