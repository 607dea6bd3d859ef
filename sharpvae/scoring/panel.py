"""The panel: several judges, their features on one scale, distances between sets of images."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.arrays import AGAIN, read_array, read_arrays
from sharpvae.core.artefacts import load_artefact
from sharpvae.core.errors import UserError
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.judges import (
    ImageNetJudge,
    InceptionJudge,
    JudgeTask,
    LearnedJudge,
    PixelJudge,
    RandomJudge,
    load_learned,
)
from sharpvae.scoring.measures import digests

Images = NDArray[np.uint8]
Features = NDArray[np.float64]

DIMENSIONS = 256  # of the features that are compared; more are projected


class Judge(Protocol):
    """A network of the panel: an nn.Module with features."""

    def features(self, images: Tensor) -> Tensor:
        """uint8 (B, C, H, W) => float32 (B, F)"""
        ...

    def to(self, device: torch.device) -> Any:
        """As nn.Module.to."""
        ...


class Scale(NamedTuple):
    """Brings a judge's features to mean 0 and deviation 1 over real images, and to few of them.

    Unscaled, the layer of the largest numbers would supply nearly all of a distance.
    """

    mean: NDArray[np.float64]  # (F,)
    deviation: NDArray[np.float64]  # (F,)

    @classmethod
    def of(cls, real: Features) -> Scale:
        """From features of real images, (N, F), N at least 2.

        A feature that hardly varies over them (the margin of centred digits) counts as if it
        varied a tenth as much as the median one, or the least noise there would decide the score.

        Raises:
            ValueError: no feature varies: the images are all alike.
        """
        deviation = real.std(axis=0)
        if not deviation.any():
            raise ValueError("no feature varies over the real images")
        # Of those that vary, where most do not (dead channels of a trained judge).
        usual = float(np.median(deviation)) or float(np.median(deviation[deviation > 0]))
        return cls(real.mean(axis=0), np.maximum(deviation, 0.1 * usual))

    def __call__(self, features: Features) -> Features:
        """(N, F) => (N, F) or (N, DIMENSIONS)

        A random projection (Johnson & Lindenstrauss 1984) keeps distances; a covariance of 256
        features is of full rank with a few hundred images and a hundred times as fast to take the
        root of as one of 2048. Scaled so that squared distances keep their expected size.
        """
        count = features.shape[1]
        scaled = (features - self.mean) / self.deviation
        if count <= DIMENSIONS:
            return np.asarray(scaled)
        return np.asarray(scaled @ _basis(count)) * (count / DIMENSIONS) ** 0.5


@cache
def _basis(count: int) -> Features:
    draws = np.random.default_rng(0).standard_normal((count, DIMENSIONS))
    return np.asarray(np.linalg.qr(draws)[0])


def members(
    metrics: MetricsConfig, channels: int, learned: LearnedJudge | Path | None
) -> dict[str, Judge]:
    """The judges by name, the first of which leads.

    Args:
        channels: of the images, 1 or 3.
        learned: the judge that `reference` trained, or the folder that it wrote it to.

    Raises:
        UserError: weights are missing or damaged.
    """
    judges: dict[str, Judge] = {"imagenet": ImageNetJudge()}
    if metrics.features == "inception":
        judges["inception"] = InceptionJudge(metrics.weights)
    if learned is not None:
        judges["learned"] = load_learned(learned) if isinstance(learned, Path) else learned
    return judges | {"random": RandomJudge(channels), "pixels": PixelJudge()}


@torch.inference_mode()
def extract(judge: Judge, images: Images, batch_size: int, device: torch.device) -> Features:
    """Features of every image, unscaled; equal images are looked at once.

    uint8 (N, H, W, C), C 1 or 3 => float64 (N, F)
    """
    judge = judge.to(device)
    first: dict[bytes, int] = {}  # by digest, which is shorter than the image
    position = [first.setdefault(digest, len(first)) for digest in digests(images)]
    different = np.unique(position, return_index=True)[1]
    batches = (
        images[different[start : start + batch_size]]
        for start in range(0, len(different), batch_size)
    )
    found = [judge.features(_on_device(batch, device)).cpu() for batch in batches]
    return torch.cat(found).double().numpy()[position]


@torch.inference_mode()
def classify(
    judge: LearnedJudge, images: Images, batch_size: int, device: torch.device
) -> NDArray[np.int64]:
    """The most probable class of every image.  uint8 (N, H, W, C) => int64 (N,)"""
    judge = judge.to(device)
    batches = (images[start : start + batch_size] for start in range(0, len(images), batch_size))
    found = [judge(_on_device(batch, device).float() / 255).argmax(1) for batch in batches]
    return torch.cat(found).cpu().numpy()


def _on_device(images: Images, device: torch.device) -> Tensor:
    """uint8 (B, H, W, C) => (B, C, H, W)"""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).to(device)


def save_reals(path: Path, scales: Mapping[str, Scale], reals: Mapping[str, Features]) -> None:
    """Write the scale of each judge, and `reals`: `<judge>/<split>` -> scaled features."""
    arrays = {f"{name}/scale": np.stack(scale) for name, scale in scales.items()}
    np.savez(path, **arrays, **reals)  # type: ignore[arg-type]


def load_reals(path: Path) -> tuple[dict[str, Scale], dict[str, Features]]:
    """Read what `save_reals` wrote; UserError where it is missing or damaged."""
    arrays = read_arrays(path)
    ending = "/scale"
    found = {name: array for name, array in arrays.items() if name.endswith(ending)}
    for name, array in arrays.items():
        rows = 2 if name in found else len(array)
        if array.dtype != np.float64 or array.shape[:1] != (rows,) or array.ndim != 2:
            told = f"{name}: {array.dtype} of shape {array.shape}"
            raise UserError(str(path), "float64 scales and features of judges", told, AGAIN)
    scales = {name.removesuffix(ending): Scale(*array) for name, array in found.items()}
    return scales, {name: array for name, array in arrays.items() if name not in found}


def combined(values: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The geometric mean of the judges' distances, each to the power of its share of the weight.

    Raises:
        ValueError: no judge has any weight.
    """
    total = sum(weights[name] for name in values)
    if not total > 0:
        raise ValueError("no judge of the panel has any weight")
    logs = [weights[name] * np.log(max(value, TINY)) for name, value in values.items()]
    return float(np.exp(sum(logs) / total))


TINY = 1e-6  # stands in for a distance of 0, of images to themselves, which has no logarithm


def agreement(
    drawn: Path, images: Images, reference: Path, batch_size: int, device: torch.device
) -> float | None:
    """Share of `images` in which the learned judge, which errs too, sees the class asked for.

    uint8 (N, H, W, C) `images`, asked for by `drawn`/labels.npy. None for an unconditional model,
    and where `reference` has no judge of classes.
    """
    asked, description = drawn / "labels.npy", reference / "judge.json"
    judged = description.exists() and load_artefact(description, JudgeTask).task == "labels"
    if not judged or not asked.exists():
        return None
    found = classify(load_learned(reference), images, batch_size, device)
    labels = read_array(asked)
    if labels.shape != found.shape:
        expected = f"a class for each of {len(found)} samples"
        raise UserError(str(asked), expected, f"an array of {labels.shape}", AGAIN)
    return float((labels == found).mean())
