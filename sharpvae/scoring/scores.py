"""All scores of one set of images against one split of real ones: one path for fakes and floors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from sharpvae.perception.fidelity import fid, kid
from sharpvae.scoring import measures, neighbours, sharpness, spectra
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.panel import Features, Images, combined
from sharpvae.scoring.resampled import FrechetReference

GROUPS = 10  # of images, each left out in turn for a jackknife: image i is in group i % GROUPS
MEMORISATION_SIZE = 32  # px; images are brought to this before distances in pixels


@dataclass(frozen=True)
class Reals:
    """One split of real images, measured once.

    Attributes:
        images: uint8 (N, H, W, C).
        features: judge -> float64 (N, D), scaled; the first judge leads.
        weights: judge -> its weight in the panel's distance.
    """

    images: Images
    features: Mapping[str, Features]
    weights: Mapping[str, float]

    @property
    def expert(self) -> str:
        """The judge in whose features neighbours are looked for.

        The one that was trained on such images, unless it has no weight: to others, all that is
        blurred is equally far from all that is not.
        """
        return "learned" if self.weights.get("learned", 0) > 0 else next(iter(self.features))

    @cached_property
    def spectrum(self) -> spectra.Spectra:
        """Radial power of each image."""
        return spectra.radial_power(self.images)

    @cached_property
    def sharpness(self) -> NDArray[np.float64]:
        """(N,) Laplacian variance of each image."""
        return measures.laplacian_variance(self.images)

    @cached_property
    def exposure(self) -> measures.Exposure:
        """Brightness and contrast."""
        return measures.exposure(self.images)

    @cached_property
    def references(self) -> dict[str, FrechetReference]:
        """Judge -> what distances without a group of images need."""
        return {name: FrechetReference(own, GROUPS) for name, own in self.features.items()}


@dataclass
class Scored:
    """The scores of one set of images.

    Attributes:
        values: score -> value; None where it does not exist for these images.
        reasons: score -> why it is None.
        judges: judge -> its own Frechet distance.
        suspects: (image, training image) of what looks most like a copy.
        sharpness: (N,) Laplacian variance of each image.
        spectrum: radial power of each image.
        artefact: `noise`, `checkerboard`, or None where neither can be seen.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    judges: dict[str, float] = field(default_factory=dict)
    suspects: list[tuple[int, int]] = field(default_factory=list)
    sharpness: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    spectrum: spectra.Spectra | None = None
    artefact: str | None = None

    def add(self, keys: Sequence[str], compute: Callable[[], Sequence[float]]) -> None:
        """Add what `compute` returns, one value a key; a ValueError is why there are none."""
        try:
            self.values |= dict(zip(keys, map(float, compute()), strict=True))
        except ValueError as error:
            self.values |= dict.fromkeys(keys)
            self.reasons |= dict.fromkeys(keys, str(error))


def score(
    images: Images, features: Mapping[str, Features], real: Reals, metrics: MetricsConfig,
    train: Images | None = None, judges: Mapping[str, float] | None = None,
) -> Scored:  # fmt: skip
    """Score `images` against `real`.

    Args:
        images: uint8 (M, H, W, C).
        features: judge -> float64 (M, D), scaled as those of `real`.
        train: uint8 (L, H, W, C), the training split; None: copies of it are not looked for.
        judges: what `distances` gave for these features, if that is known.

    Returns:
        What exists for these images; a score that needs more of them, or images that are not
        constant, is None with the reason.

    Raises:
        ValueError: `images` are not of the size and channels of the reals.
    """
    if images.shape[1:] != real.images.shape[1:]:
        ours, theirs = images.shape[1:], real.images.shape[1:]
        raise ValueError(f"images of {ours} cannot be scored against real ones of {theirs}")
    found = Scored(sharpness=measures.laplacian_variance(images))
    _fidelity(found, features, real, metrics, judges)
    _blur(found, images, real)
    _neighbours(found, features, real, metrics)
    if train is not None:
        found.add(["nn_ratio", "copied"], lambda: _memorised(found, images, real.images, train))
    exposure = measures.exposure(images)
    for name, value in vars(exposure).items():
        found.values |= {name: value, f"{name}_gap": value - getattr(real.exposure, name)}
    return found


def distances(features: Mapping[str, Features], real: Reals) -> dict[str, float]:
    """Frechet distance of `features` from the reals', judge by judge.

    Raises:
        ValueError: fewer than two images, or features that are not finite.
    """
    return {name: fid(real.features[name], fake) for name, fake in features.items()}


def _fidelity(
    found: Scored, features: Mapping[str, Features], real: Reals, metrics: MetricsConfig,
    judges: Mapping[str, float] | None,
) -> None:  # fmt: skip
    def panel() -> list[float]:
        found.judges = dict(judges or distances(features, real))
        return [combined(found.judges, real.weights)]

    lead = next(iter(features))
    size = subset_size(metrics.kid_subset_size, len(features[lead]), len(real.images))
    found.add(["fid"], panel)
    found.add(
        ["kid"],
        lambda: [kid(real.features[lead], features[lead], metrics.kid_subsets, size)],
    )


def subset_size(asked: int | None, fakes: int, reals: int) -> int:
    """Images in a subset of KID: half of the smaller set, at most 1000, unless `asked`."""
    return asked or max(2, min(fakes // 2, reals // 2, 1000))


def _blur(found: Scored, images: Images, real: Reals) -> None:
    found.spectrum = spectrum = spectra.radial_power(images)
    normalised = [sharpness.normalised_laplacian(set_) for set_ in (real.images, images)]
    found.add(["blur_px"], lambda: [spectra.blur_px(real.spectrum, spectrum)])
    found.add(["artefact"], lambda: [_artefact(found, real.spectrum, spectrum)])
    found.add(["sharpness"], lambda: [_ratio(found.sharpness, real.sharpness)])
    found.add(["sharpness_normalised"], lambda: [sharpness.laplacian_ratio_normalised(*normalised)])
    found.add(
        ["sharpness_spread"],
        lambda: [sharpness.log_laplacian_distance(real.sharpness, found.sharpness)],
    )
    gradients = [sharpness.gradient_sharpness(set_) for set_ in (images, real.images)]
    found.add(["gradient_sharpness"], lambda: [_ratio(*gradients)])


def _artefact(found: Scored, real: spectra.Spectra, fake: spectra.Spectra) -> float:
    excess = spectra.artefact(real, fake)
    found.artefact = excess.kind
    return excess.amount


def _ratio(fakes: NDArray[np.float64], reals: NDArray[np.float64]) -> float:
    if not reals.mean() > 0:
        raise ValueError("the real images have no sharpness to compare with")
    return float(fakes.mean() / reals.mean())


def _neighbours(
    found: Scored, features: Mapping[str, Features], real: Reals, metrics: MetricsConfig
) -> None:
    reals, fakes = real.features[real.expert], features[real.expert]
    fewer = min(len(reals), len(fakes))
    k = neighbours.neighbours_for(fewer, metrics.neighbours)

    def enough() -> int:
        if k is None:
            raise ValueError(f"{fewer} images; {neighbours.LEAST} are needed")
        return k

    found.add(["precision", "recall"], lambda: neighbours.precision_recall(reals, fakes, enough()))
    found.add(["density", "coverage"], lambda: neighbours.density_coverage(reals, fakes, enough()))


def _memorised(found: Scored, images: Images, test: Images, train: Images) -> list[float]:
    memory = neighbours.memorisation(*map(pixels, (train, test, images)))
    if memory is None:
        raise ValueError("too few images, or half of the test images stand in the training split")
    found.suspects = memory.suspects
    return [memory.ratio, memory.copied]


def mean_power(spectrum: spectra.Spectra | None) -> list[float] | None:
    """(B,) mean radial power of the images that are not constant; None where all are."""
    if spectrum is None or spectrum.constant.all():
        return None
    return [float(value) for value in spectrum.power[~spectrum.constant].mean(axis=0)]


def pixels(images: Images) -> Features:
    """Images as vectors, in [0, 1], large ones brought to 32 pixels by means over blocks.

    uint8 (N, H, W, C) => float64 (N, F)
    """
    side = max(1, min(images.shape[1:3]) // MEMORISATION_SIZE)
    height, width = (n // side * side for n in images.shape[1:3])
    blocks = images[:, :height, :width].reshape(
        len(images), height // side, side, width // side, side, images.shape[3]
    )
    return np.asarray(blocks.mean(axis=(2, 4)).reshape(len(images), -1) / 255)
