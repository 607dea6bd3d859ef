"""What the stage `evaluate` measures: every score of one run, on validation and on test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.files import read_json
from sharpvae.scoring import disentanglement, measures, neighbours, spectra
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.resampled import GROUPS, extrapolated
from sharpvae.scoring.scores import Looked, Reals, Scored, mean_power, score

DRAWN = ("prior", "mixture", "flow", "reconstruction")  # sets of images
Replicates = dict[str, Any]  # score -> (GROUPS,), or judge -> (GROUPS,)


@dataclass
class Evaluated:
    """What scores.json and per_image.npz hold of one run.

    Attributes:
        scores: score -> value on the test split, or None.
        validation: the same on the validation split.
        reasons: score -> why it is None, or why its interval is.
        judges: score -> judge -> its own distance.
        replicates: scores on the test split without each group of images.
        power: mean radial power of each set of images.
        artefacts: `noise`, `checkerboard` or None for each set.
        suspects: (headline sample, training image) of what looks most like a copy.
        sharpness: (N,) Laplacian variances of each set.
    """

    scores: dict[str, float | None] = field(default_factory=dict)
    validation: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    judges: dict[str, dict[str, float]] = field(default_factory=dict)
    replicates: Replicates = field(default_factory=dict)
    power: dict[str, list[float] | None] = field(default_factory=dict)
    artefacts: dict[str, str | None] = field(default_factory=dict)
    suspects: list[tuple[int, int]] = field(default_factory=list)
    sharpness: dict[str, NDArray[np.float64]] = field(default_factory=dict)


def evaluate(
    drawn: Mapping[str, Looked], headline: str, reconstructed: Looked, test: Reals,
    validation: Reals, train: Looked, metrics: MetricsConfig,
) -> Evaluated:  # fmt: skip
    """Score what one VAE drew on both splits.

    Args:
        drawn: each of `DRAWN`, the last of the test split. Keys of their scores end in `_<name>`.
        headline: the one whose scores stand without that, too.
        reconstructed: the validation split, reconstructed.
        train: the training split, of which only pixels are used.
    """
    found = Evaluated()
    for name, set_ in drawn.items():
        suffix, paired = f"_{name}", name == "reconstruction"
        scored = score(set_, test, metrics, None if paired else train)
        unseen = score(reconstructed if paired else set_, validation, metrics)
        found.scores |= _named(scored.values, suffix)
        found.validation |= _named(unseen.values, suffix)
        found.judges[f"fid{suffix}"] = scored.judges
        rows, why = replicates(scored, set_, test, metrics)
        found.reasons |= _named(why | scored.reasons, suffix)
        found.replicates |= _named(rows, suffix)
        found.power[name] = mean_power(set_.spectrum)
        found.artefacts[name] = scored.artefact
        found.sharpness[name] = set_.laplacian
        if name == headline:
            found.suspects = scored.suspects
    found.scores |= measures.likeness(test.images, drawn["reconstruction"].images)
    found.validation |= measures.likeness(validation.images, reconstructed.images)
    if len(test.images) >= 2 * GROUPS:
        pairs = measures.psnr(test.images, drawn["reconstruction"].images)
        found.replicates["psnr"] = _means(np.minimum(pairs, measures.PSNR_OF_EQUALS))
    _limit(found, test.lead)
    _promote(found, headline)
    return found


def add_likelihood(found: Evaluated, folder: Path) -> None:
    """`nll` and `elbo_gap` of both splits from what `sample` estimated, or why there are none."""
    left_out = read_json(folder / "likelihood.json")["left_out"]
    if left_out is not None:
        nothing = dict.fromkeys(("nll", "elbo_gap"))
        found.scores |= nothing
        found.validation |= nothing
        found.reasons |= dict.fromkeys(nothing, left_out)
        return
    with np.load(folder / "likelihood.npz") as estimates:
        for table, split in ((found.scores, "test"), (found.validation, "validation")):
            log_p, elbo = estimates[split], estimates[f"{split}_elbo"]
            table |= {"nll": float(-log_p.mean()), "elbo_gap": float((log_p - elbo).mean())}
        if len(estimates["test"]) >= 2 * GROUPS:
            found.replicates["nll"] = _means(-estimates["test"])


def add_disentanglement(
    found: Evaluated, mean: NDArray[np.float32], factors: NDArray[np.int64] | None
) -> None:
    """`mig` and `dci`, or why there are none; null without a word where no factors are known.

    Of the test split alone, for `sample` keeps no posterior of the validation split.

    Args:
        mean: (N, Z) posterior means of the test split.
        factors: (N, K) what its images were made from; None where the data does not tell.
    """
    for key, compute in (("mig", disentanglement.mig), ("dci", disentanglement.dci)):
        found.scores[key] = None
        if factors is not None:
            try:
                found.scores[key] = compute(mean, factors)
            except ValueError as error:
                found.reasons[key] = str(error)


def _named(values: Mapping[str, Any], suffix: str) -> dict[str, Any]:
    return {f"{key}{suffix}": value for key, value in values.items()}


def _promote(found: Evaluated, headline: str) -> None:
    """The headline's scores, under their plain names; its spectrum and the like as `headline`."""
    for table in (found.scores, found.validation, found.reasons, found.judges, found.replicates):
        ending = f"_{headline}"
        table |= {key.removesuffix(ending): table[key] for key in table if key.endswith(ending)}
    found.power["headline"] = found.power[headline]
    found.artefacts["headline"] = found.artefacts[headline]
    found.sharpness["headline"] = found.sharpness[headline]


def _limit(found: Evaluated, lead: str) -> None:
    """`fid_limit`: the leading judge's distance, extrapolated to many images."""
    for key, judges in found.judges.items():
        rows = found.replicates.get(key, {}).get(lead)
        limit = extrapolated(judges[lead], np.array(rows))[0] if rows else None
        found.scores[key.replace("fid", "fid_limit")] = limit


def replicates(
    scored: Scored, set_: Looked, real: Reals, metrics: MetricsConfig
) -> tuple[Replicates, dict[str, str]]:
    """Scores without each group of images in turn, for intervals; and why some have none.

    None with fewer than two images a group; a score that a part of the images has not is absent.
    """
    found: Replicates = {}
    fewer = min(len(set_.images), len(real.images))
    if fewer < 2 * GROUPS:
        return found, {}
    k = neighbours.neighbours_for(fewer, metrics.neighbours)
    assert k is not None

    def fids() -> Replicates:
        return {"fid": {
            name: real.references[name].replicates(moments).tolist()
            for name, moments in set_.moments.items()
        }}  # fmt: skip

    def near() -> Replicates:
        ours, theirs = real.features[real.expert], set_.features[real.expert]
        table = neighbours.density_coverage_replicates(ours, theirs, k, GROUPS)
        return dict(zip(("density", "coverage"), table.T.tolist(), strict=True))

    reasons: dict[str, str] = {}
    computed: dict[str, Callable[[], Replicates]] = {
        "fid": fids, "sharpness": lambda: {"sharpness": _ratios(set_.laplacian, real.laplacian)},
        "blur_px": lambda: {"blur_px": _blurs(real.spectrum, set_.spectrum)},
        "artefact": lambda: {"artefact": _artefacts(real.spectrum, set_.spectrum)},
        "coverage": near,
    }  # fmt: skip
    for key, compute in computed.items():
        if scored.values[key] is not None:
            try:  # few are not constant, or k is as large as what is left
                found |= compute()
            except ValueError as error:
                reasons[key] = f"no interval: {error}"
    return found, reasons


def _ratios(fakes: NDArray[np.float64], reals: NDArray[np.float64]) -> list[float]:
    ours, theirs = np.array(_means(fakes)), np.array(_means(reals))
    if not (theirs > 0).all():
        raise ValueError("a part of the real images has no sharpness")
    return [float(ratio) for ratio in ours / theirs]


def _means(values: NDArray[np.float64]) -> list[float]:
    """Means without each group."""
    group = np.arange(len(values)) % GROUPS
    return [float(values[group != g].mean()) for g in range(GROUPS)]


def _blurs(real: spectra.Spectra, fake: spectra.Spectra) -> list[float]:
    images = min(real.count, fake.count)
    return [
        spectra.fit_blur(real.mean(ours), fake.mean(theirs), real.size, images).sigma
        for ours, theirs in zip(_kept(real), _kept(fake), strict=True)
    ]


def _artefacts(real: spectra.Spectra, fake: spectra.Spectra) -> list[float]:
    images = min(real.count, fake.count)
    return [
        spectra.fit_artefact(
            (real.mean(ours), fake.mean(theirs)),
            (real.mean_pattern(ours), fake.mean_pattern(theirs)), real.size, images,
        ).amount
        for ours, theirs in zip(_kept(real), _kept(fake), strict=True)
    ]  # fmt: skip


def _kept(of: spectra.Spectra) -> list[NDArray[np.bool_]]:
    """Which images are left without each group."""
    group = np.arange(len(of.power)) % GROUPS
    return [group != g for g in range(GROUPS)]
