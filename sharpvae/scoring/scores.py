"""All scores of one set of images against one split of real ones: one path for fakes and floors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharpvae.perception.fidelity import fid, kid
from sharpvae.scoring import measures, neighbours, sharpness, spectra
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.floors import Chosen
from sharpvae.scoring.panel import Features, Images, combined
from sharpvae.scoring.resampled import FrechetReference, Moments

LIBRARIES = ("torch", "torch-fidelity", "numpy", "scipy")
MEMORISATION_SIZE = 32  # px; images are brought to this before distances in pixels


@dataclass(frozen=True)
class Looked:
    """A set of images with the panel's features; whatever is measured on it is measured once.

    Attributes:
        images: uint8 (N, H, W, C).
        features: judge -> float64 (N, D), scaled.
    """

    images: Images
    features: Mapping[str, Features]

    @cached_property
    def spectrum(self) -> spectra.Spectra:
        """Radial power of each image."""
        return spectra.radial_power(self.images)

    @cached_property
    def laplacian(self) -> NDArray[np.float64]:
        """(N,) Laplacian variance of each image."""
        return measures.laplacian_variance(self.images)

    @cached_property
    def normalised(self) -> NDArray[np.float64]:
        """(N,) the same over each image's variance."""
        return sharpness.normalised_laplacian(self.images)

    @cached_property
    def gradients(self) -> NDArray[np.float64]:
        """(N,) document 000's sharpness of each image."""
        return sharpness.gradient_sharpness(self.images)

    @cached_property
    def exposure(self) -> measures.Exposure:
        """Brightness and contrast."""
        return measures.exposure(self.images)

    @cached_property
    def pixels(self) -> Features:
        """The images as vectors."""
        return pixels(self.images)

    @cached_property
    def moments(self) -> dict[str, Moments]:
        """Judge -> what distances without a group of these images need."""
        return {name: Moments(own) for name, own in self.features.items()}


@dataclass(frozen=True)
class Reals(Looked):
    """One split of real images.

    Attributes:
        weights: judge -> its weight in the panel's distance.
    """

    weights: Mapping[str, float]

    @property
    def lead(self) -> str:
        """The judge of scores that have one: the first that has a weight."""
        return next((n for n in self.features if self.weights[n] > 0), next(iter(self.features)))

    @property
    def expert(self) -> str:
        """The judge in whose features neighbours are looked for.

        The one that was trained on such images, unless it has no weight: to others, all that is
        blurred is equally far from all that is not.
        """
        return "learned" if self.weights.get("learned", 0) > 0 else self.lead

    @cached_property
    def references(self) -> dict[str, FrechetReference]:
        """Judge -> what distances from these images without a group need."""
        return {name: FrechetReference(own) for name, own in self.features.items()}


@dataclass
class Scored:
    """The scores of one set of images.

    Attributes:
        values: score -> value; None where it does not exist for these images.
        reasons: score -> why it is None.
        judges: judge -> its own Frechet distance.
        suspects: (image, training image) of what looks most like a copy.
        artefact: `noise`, `checkerboard`, or None where neither can be seen.
    """

    values: dict[str, float | None] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    judges: dict[str, float] = field(default_factory=dict)
    suspects: list[tuple[int, int]] = field(default_factory=list)
    artefact: str | None = None

    def add(self, keys: Sequence[str], compute: Callable[[], Sequence[float]]) -> None:
        """Add what `compute` returns, one value a key; what it raises is why there are none."""
        try:
            self.values |= dict(zip(keys, map(float, compute()), strict=True))
        except (ValueError, FloatingPointError) as error:
            self.values |= dict.fromkeys(keys)
            self.reasons |= dict.fromkeys(keys, str(error))


def score(
    fake: Looked, real: Reals, metrics: MetricsConfig, train: neighbours.Training | None = None
) -> Scored:
    """Score `fake`, with features scaled as those of `real`.

    Args:
        train: `training` of this split; None: copies are not looked for.

    Returns:
        What exists for these images; a score that needs more of them, or images that are not
        constant, is None with the reason.

    Raises:
        ValueError: the fakes are not of the size and channels of the reals.
    """
    if fake.images.shape[1:] != real.images.shape[1:]:
        ours, theirs = fake.images.shape[1:], real.images.shape[1:]
        raise ValueError(f"images of {ours} cannot be scored against real ones of {theirs}")
    found = Scored()
    _fidelity(found, fake, real, metrics)
    _blur(found, fake, real)
    _neighbours(found, fake, real, metrics)
    found.add(["distinct"], lambda: [measures.distinct(fake.images)])
    if train is not None:
        found.add(["nn_ratio", "copied"], lambda: _memorised(found, fake, train))
    for name, value in vars(fake.exposure).items():
        found.values |= {name: value, f"{name}_gap": value - getattr(real.exposure, name)}
    return found


def distances(features: Mapping[str, Features], real: Looked) -> dict[str, float]:
    """Frechet distance of `features` from the reals', judge by judge.

    Raises:
        ValueError: fewer than two images, or features that are not finite.
    """
    return {name: fid(real.features[name], fake) for name, fake in features.items()}


def _fidelity(found: Scored, fake: Looked, real: Reals, metrics: MetricsConfig) -> None:
    def panel() -> list[float]:
        found.judges = distances(fake.features, real)
        return [combined(found.judges, real.weights)]

    def kernel() -> list[float]:
        ours, theirs = real.features[real.lead], fake.features[real.lead]
        size = subset_size(metrics.kid_subset_size, len(theirs), len(ours))
        return [kid(ours, theirs, metrics.kid_subsets, size)]

    found.add(["fid"], panel)
    found.add(["kid"], kernel)


def subset_size(asked: int | None, fakes: int, reals: int) -> int:
    """Images in a subset of KID: half of the smaller set, at most 1000, unless `asked`."""
    return asked or max(2, min(fakes // 2, reals // 2, 1000))


def _blur(found: Scored, fake: Looked, real: Reals) -> None:
    def artefact() -> list[float]:
        excess = spectra.artefact(real.spectrum, fake.spectrum)
        found.artefact = excess.kind
        return [excess.amount]

    for key, compute in (
        ("blur_px", lambda: [spectra.blur_px(real.spectrum, fake.spectrum)]),
        ("artefact", artefact),
        ("sharpness", lambda: [_ratio(fake.laplacian, real.laplacian)]),
        ("sharpness_normalised",
         lambda: [sharpness.laplacian_ratio_normalised(real.normalised, fake.normalised)]),
        ("sharpness_spread",
         lambda: [sharpness.log_laplacian_distance(real.laplacian, fake.laplacian)]),
        ("gradient_sharpness", lambda: [_ratio(fake.gradients, real.gradients)]),
    ):  # fmt: skip
        found.add([key], compute)


def _ratio(fakes: NDArray[np.float64], reals: NDArray[np.float64]) -> float:
    if not reals.mean() > 0:
        raise ValueError("the real images have no sharpness to compare with")
    return float(fakes.mean() / reals.mean())


def _neighbours(found: Scored, fake: Looked, real: Reals, metrics: MetricsConfig) -> None:
    reals, fakes = real.features[real.expert], fake.features[real.expert]
    fewer = min(len(reals), len(fakes))
    k = neighbours.neighbours_for(fewer, metrics.neighbours)

    def enough() -> int:
        if k is None:
            raise ValueError(f"{fewer} images; {neighbours.LEAST} are needed")
        return k

    found.add(["precision", "recall"], lambda: neighbours.precision_recall(reals, fakes, enough()))
    found.add(["density", "coverage"], lambda: neighbours.density_coverage(reals, fakes, enough()))


def _memorised(found: Scored, fake: Looked, train: neighbours.Training) -> list[float]:
    memory = train.memorisation(fake.pixels)
    if memory is None:
        raise ValueError("too few images, or half of the test images stand in the training split")
    found.suspects = memory.suspects
    return [memory.ratio, memory.copied]


def mean_power(spectrum: spectra.Spectra) -> list[float] | None:
    """(B,) mean radial power of the images that are not constant; None where all are."""
    if spectrum.constant.all():
        return None
    return [float(value) for value in spectrum.power[~spectrum.constant].mean(axis=0)]


@dataclass(frozen=True)
class _Pixels:
    """`pixels` of images that are read when they are asked for."""

    images: Images | Chosen

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice | NDArray[np.int64], /) -> Features:
        return pixels(self.images[rows])


def training(images: Images | Chosen, test: Looked) -> neighbours.Training:
    """Training images, of which only pixels are used, beside the test split."""
    return neighbours.Training(_Pixels(images), test.pixels)


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


def protocol(metrics: MetricsConfig, fake: Looked, real: Reals) -> dict[str, Any]:
    """Counts, judges and library versions of one set of scores on the test split."""
    fakes, reals = len(fake.images), len(real.images)
    return {
        "fakes": fakes,
        "reals": reals,
        "split": "test",
        "judges": {name: array.shape[1] for name, array in real.features.items()},
        "kid_subsets": metrics.kid_subsets,
        "kid_subset_size": subset_size(metrics.kid_subset_size, fakes, reals),
        "libraries": {name: version(name) for name in LIBRARIES},
    }
