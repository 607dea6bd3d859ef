"""What the stage `evaluate` measures: every score of one run, on validation and on test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from sharpvae.core.arrays import AGAIN, read_array, read_arrays
from sharpvae.core.artefacts import Artefact, Finite, load_artefact
from sharpvae.core.config import NonNegative
from sharpvae.core.errors import UserError
from sharpvae.scoring import disentanglement, measures, neighbours, spectra
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.panel import Images, extract, load_reals, members
from sharpvae.scoring.resampled import GROUPS, extrapolated
from sharpvae.scoring.scores import Looked, Reals, Scored, mean_power, score


class Weighted(Artefact):
    """A judge in reference.json."""

    weight: NonNegative


class Judges(Artefact):
    """reference.json"""

    judges: dict[str, Weighted]


class Likelihood(Artefact):
    """likelihood.json"""

    left_out: str | None


class Drawn(Artefact):
    """priors.json, of a VAE or of images made elsewhere."""

    headline: Literal["prior", "mixture", "flow", "samples"]
    validation: dict[str, Finite] = Field(default_factory=dict)  # prior -> mean log-density
    notes: list[str] = Field(default_factory=list)


class Ended(Artefact):
    """summary.json"""

    beta_sigma: Finite | None
    beta_whole: Finite | None


DRAWN = ("prior", "mixture", "flow", "reconstruction")  # sets of images
Replicates = dict[str, Any]  # score -> (GROUPS,), or judge -> (GROUPS,)


class Panel:
    """The judges, and what `reference` measured with them.

    Args:
        directory: what `reference` wrote, or `sharpvae.scoring.reference.build`.
        shape: (H, W, C) of the images.
    """

    def __init__(
        self, metrics: MetricsConfig, directory: Path, shape: tuple[int, ...], device: torch.device
    ) -> None:
        self.batch_size, self.device, self.shape = metrics.batch_size, device, shape
        self.scales, self.features = load_reals(directory / "reals.npz")
        described = load_artefact(directory / "reference.json", Judges).judges
        self.weights = {name: judge.weight for name, judge in described.items()}
        self.judges = members(metrics, shape[2], directory)
        self._place = directory / "reals.npz"
        known = set(self.scales) & set(self.weights)
        if missing := [name for name in self.judges if name not in known]:
            expected = f"what was measured with {', '.join(self.judges)}"
            raise UserError(str(directory), expected, f"nothing of {', '.join(missing)}", AGAIN)

    def look(self, images: Images) -> Looked:
        """Images with the judges' features.  uint8 (N, H, W, C)"""
        return Looked(images, {
            name: self.scales[name](extract(judge, images, self.batch_size, self.device))
            for name, judge in self.judges.items()
        })  # fmt: skip

    def look_at(self, path: Path, count: int | None = None) -> Looked:
        """The images of a file; UserError where they are others than `sample` writes.

        Args:
            count: how many there have to be; any number, but none, unless given.
        """
        images = read_array(path)
        right = images.dtype == np.uint8 and images.shape[1:] == self.shape
        if not right or len(images) == 0 or len(images) != (count or len(images)):
            expected = f"{count or 'some'} images, uint8 {self.shape} each, as the prepared ones"
            raise UserError(str(path), expected, f"{images.dtype} {images.shape}", AGAIN)
        return self.look(images)

    def reals(self, split: Literal["validation", "test"], images: Images) -> Reals:
        """The real images of a split, as they were measured."""
        own = {name: self.features.get(f"{name}/{split}", np.empty(0)) for name in self.judges}
        for name, features in own.items():
            if len(features) != len(images):
                expected = f"{name}/{split}: a row for each of {len(images)} images"
                raise UserError(str(self._place), expected, f"{len(features)} rows", AGAIN)
        return Reals(images, own, self.weights)


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
    drawn: Mapping[str, Looked], headline: str, test: Reals, validation: Reals,
    train: neighbours.Training, metrics: MetricsConfig, reconstructed: Looked | None = None,
    originals: Images | None = None,
) -> Evaluated:  # fmt: skip
    """Score sets of images on both splits.

    Args:
        drawn: by name; keys of their scores end in `_<name>`. `reconstruction` is no draw: it has
            the originals in their order, and is compared pair by pair, too.
        headline: the one whose scores stand without that ending, too.
        train: `training` of this split.
        reconstructed: the validation split, reconstructed; without it there are no such scores.
        originals: what `reconstruction` is of; the test split unless given.
    """
    found = Evaluated()
    for name, set_ in drawn.items():
        suffix, paired = f"_{name}", name == "reconstruction"
        scored = score(set_, test, metrics, None if paired else train)
        found.scores |= _named(scored.values, suffix)
        if (chosen_by := reconstructed if paired else set_) is not None:
            found.validation |= _named(score(chosen_by, validation, metrics).values, suffix)
        found.judges[f"fid{suffix}"] = scored.judges
        rows, why = replicates(scored, set_, test, metrics)
        found.reasons |= _named(why | scored.reasons, suffix)
        found.replicates |= _named(rows, suffix)
        found.power[name] = mean_power(set_.spectrum)
        found.artefacts[name] = scored.artefact
        found.sharpness[name] = set_.laplacian
        if name == headline:
            found.suspects = scored.suspects
    if (pairs := drawn.get("reconstruction")) is not None:
        _pair(found, test.images if originals is None else originals, pairs.images)
    if reconstructed is not None:
        found.validation |= measures.likeness(validation.images, reconstructed.images)
    _limit(found, test.lead)
    _promote(found, headline)
    return found


def _pair(found: Evaluated, originals: Images, reconstructions: Images) -> None:
    """Scores of each reconstruction against its own original."""
    found.scores |= measures.likeness(originals, reconstructions)
    if len(originals) >= 2 * GROUPS:
        pairs = measures.psnr(originals, reconstructions)
        found.replicates["psnr"] = _means(np.minimum(pairs, measures.PSNR_OF_EQUALS))


def add_likelihood(found: Evaluated, folder: Path, counts: Mapping[str, int]) -> None:
    """`nll` and `elbo_gap` of both splits from what `sample` estimated, or why there are none.

    Args:
        counts: split -> how many images it has.
    """
    left_out = load_artefact(folder / "likelihood.json", Likelihood).left_out
    if left_out is not None:
        nothing = dict.fromkeys(("nll", "elbo_gap"))
        found.scores |= nothing
        found.validation |= nothing
        found.reasons |= dict.fromkeys(nothing, left_out)
        return
    wanted = ("test", "test_elbo", "validation", "validation_elbo")
    estimates = read_arrays(folder / "likelihood.npz", *wanted)
    for name in wanted:
        _require_numbers(folder / "likelihood.npz", name, estimates, (counts[name.split("_")[0]],))
    for table, split in ((found.scores, "test"), (found.validation, "validation")):
        log_p, elbo = estimates[split], estimates[f"{split}_elbo"]
        table |= {"nll": float(-log_p.mean()), "elbo_gap": float((log_p - elbo).mean())}
    if len(estimates["test"]) >= 2 * GROUPS:
        found.replicates["nll"] = _means(-estimates["test"])


def posterior(path: Path, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and log-variance of `count` images, (N, Z) both; UserError where they are no such."""
    found = read_arrays(path, "mean", "log_var")
    mean, log_var = found["mean"], found["log_var"]
    shape = (count, *mean.shape[1:2]) if mean.ndim == 2 else (count, 0)
    for name in ("mean", "log_var"):
        _require_numbers(path, name, found, shape)
    return mean, log_var


def _require_numbers(
    path: Path, name: str, arrays: Mapping[str, NDArray[Any]], shape: tuple[int, ...]
) -> None:
    """UserError unless an array holds finite floats of this shape."""
    own = arrays[name]
    if own.dtype.kind != "f" or own.shape != shape or not np.isfinite(own).all():
        expected = f"{name}: finite floats of shape {shape}"
        raise UserError(str(path), expected, f"{own.dtype} of shape {own.shape}", AGAIN)


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
