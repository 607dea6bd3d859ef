"""What the stage `evaluate` measures: every score of one run, on validation and on test."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpvae.scoring import measures, neighbours, spectra
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.panel import Features, Images
from sharpvae.scoring.resampled import Moments, extrapolated
from sharpvae.scoring.scores import GROUPS, Reals, Scored, mean_power, score

SUFFIXES = {"prior": "", "mixture": "_mixture", "reconstruction": "_reconstruction"}  # of scores
Replicates = dict[str, Any]  # score -> (GROUPS,), or judge -> (GROUPS,)


@dataclass(frozen=True)
class Drawn:
    """One set of images that a VAE made, with its features."""

    images: Images
    features: Mapping[str, Features]


def evaluate(
    drawn: Mapping[str, Drawn], reconstructed: Drawn, test: Reals, validation: Reals,
    train: Images, metrics: MetricsConfig,
) -> dict[str, Any]:  # fmt: skip
    """Score what one VAE drew on both splits.

    Args:
        drawn: `prior`, `mixture` and `reconstruction`, the last of the test split.
        reconstructed: the validation split, reconstructed.

    Returns:
        `scores` and `validation`: score -> value or None; `reasons`: score -> why it is None;
        `judges`: score -> judge -> its own distance; `replicates` of the test scores;
        `suspects` among samples of the prior; `power`, `artefacts` and `sharpness` of each set.
    """
    found: dict[str, Any] = {
        "scores": {}, "validation": {}, "reasons": {}, "judges": {}, "replicates": {},
        "power": {}, "artefacts": {}, "suspects": [], "sharpness": {},
    }  # fmt: skip
    for name, set_ in drawn.items():
        suffix = SUFFIXES[name]
        copies = None if name == "reconstruction" else train
        scored = score(set_.images, set_.features, test, metrics, copies)
        other = reconstructed if name == "reconstruction" else set_
        unseen = score(other.images, other.features, validation, metrics)
        found["scores"] |= _named(scored.values, suffix)
        found["validation"] |= _named(unseen.values, suffix)
        found["reasons"] |= _named(scored.reasons, suffix)
        found["judges"][f"fid{suffix}"] = scored.judges
        found["replicates"] |= _named(replicates(scored, set_, test, metrics), suffix)
        found["power"][name] = mean_power(scored.spectrum)
        found["artefacts"][name] = scored.artefact
        found["sharpness"][name] = scored.sharpness
        if name == "prior":
            found["suspects"] = scored.suspects
    for split, real, set_ in (
        ("scores", test, drawn["reconstruction"]), ("validation", validation, reconstructed)
    ):  # fmt: skip
        found[split] |= measures.likeness(real.images, set_.images)
    if len(test.images) >= 2 * GROUPS:
        pairs = measures.psnr(test.images, drawn["reconstruction"].images)
        found["replicates"]["psnr"] = _means(np.minimum(pairs, measures.PSNR_OF_EQUALS))
    _limit(found)
    return found


def _named(values: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    return {f"{key}{suffix}": value for key, value in values.items()}


def _limit(found: dict[str, Any]) -> None:
    """`fid_limit`: the leading judge's distance, extrapolated to many images."""
    for key, judges in list(found["judges"].items()):
        lead = next(iter(judges), None)
        rows = found["replicates"].get(key, {}).get(lead)
        limit = None if lead is None or rows is None else extrapolated(judges[lead], np.array(rows))
        found["scores"][key.replace("fid", "fid_limit")] = limit and limit[0]


def replicates(scored: Scored, set_: Drawn, real: Reals, metrics: MetricsConfig) -> Replicates:
    """Scores without each group of images in turn, for intervals; of those that exist.

    None with fewer than two images a group; a score that a part of the images has not is absent.
    """
    found: Replicates = {}
    fewer = min(len(set_.images), len(real.images))
    if fewer < 2 * GROUPS:
        return found
    k = neighbours.neighbours_for(fewer, metrics.neighbours)
    assert k is not None

    def fids() -> Replicates:
        return {"fid": {
            name: real.references[name].replicates(Moments(fake, GROUPS)).tolist()
            for name, fake in set_.features.items()
        }}  # fmt: skip

    def near() -> Replicates:
        ours, theirs = real.features[real.expert], set_.features[real.expert]
        table = neighbours.density_coverage_replicates(ours, theirs, k, GROUPS)
        return dict(zip(("density", "coverage"), table.T.tolist(), strict=True))

    for key, compute in (
        ("fid", fids), ("sharpness", lambda: {"sharpness": _ratios(scored, real)}),
        ("blur_px", lambda: {"blur_px": _blurs(real.spectrum, scored.spectrum)}),
        ("coverage", near),
    ):  # fmt: skip
        if scored.values[key] is not None:
            with suppress(ValueError):  # few are not constant, or k is as large as what is left
                found |= compute()
    return found


def _ratios(scored: Scored, real: Reals) -> list[float]:
    fakes, reals = np.array(_means(scored.sharpness)), np.array(_means(real.sharpness))
    if not (reals > 0).all():
        raise ValueError("a part of the real images has no sharpness")
    return [float(ratio) for ratio in fakes / reals]


def _means(values: NDArray[np.float64]) -> list[float]:
    """Means without each group."""
    group = np.arange(len(values)) % GROUPS
    return [float(values[group != g].mean()) for g in range(GROUPS)]


def _blurs(real: spectra.Spectra, fake: spectra.Spectra | None) -> list[float]:
    assert fake is not None
    groups = range(GROUPS)
    ours, theirs = (
        [spectrum.mean(np.arange(len(spectrum.power)) % GROUPS != g) for g in groups]
        for spectrum in (real, fake)
    )
    return [spectra.fit_blur(ours[g], theirs[g], real.size).sigma for g in groups]
