"""The judge, and features through torch-fidelity: one path for reals and fakes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch_fidelity import FeatureExtractorBase, register_feature_extractor
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY
from torch_fidelity.utils import create_feature_extractor

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json, write_json
from sharpvae.core.weights import load_weights, save_weights
from sharpvae.perception.fidelity import fid, kid
from sharpvae.perception.pretrained import find
from sharpvae.scoring.config import MetricsConfig

LIBRARIES = ("torch", "torch-fidelity", "numpy", "scipy")
NAME, LAYER = "sharpvae-judge", "pooled"
INCEPTION, INCEPTION_LAYER = "inception-v3-compat", "2048"
PURPOSE = "Judge"  # of its random draws; another word is another judge, and moves every score


def protocol(metrics: MetricsConfig, fakes: int, reals: int, feature_dim: int) -> dict[str, Any]:
    """Counts, split, extractor and library versions of one set of scores."""
    return {
        "fakes": fakes,
        "reals": reals,
        "split": "test",
        "features": metrics.features,
        "feature_dim": feature_dim,
        "kid_subsets": metrics.kid_subsets,
        "kid_subset_size": metrics.kid_subset_size,
        "libraries": {name: version(name) for name in LIBRARIES},
    }


class Judge(nn.Module):
    """A convolutional classifier with group norm.

    Its features are the spatial means of every block side by side: early blocks respond to edges
    and strokes, late ones to classes, so blur and wrong shapes both raise the distance. `widths`
    are the channels of the blocks, each of which halves height and width.
    """

    def __init__(self, image_channels: int, classes: int, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = [image_channels, *widths]
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(a, b, 5, stride=2, padding=2, bias=False),
                nn.GroupNorm(_groups(b), b),
                nn.SiLU(),
            )
            for a, b in pairwise(sizes)
        )
        self.classify = nn.Linear(widths[-1], classes)

    def pooled(self, images: Tensor) -> list[Tensor]:
        """float32 (B, C, H, W) in [0, 1] => (B, width) a block"""
        hidden, means = images * 2 - 1, []
        for block in self.blocks:
            hidden = block(hidden)
            means.append(hidden.mean((2, 3)))
        return means

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) in [0, 1] => class logits (B, K)"""
        return self.classify(self.pooled(images)[-1])


def _groups(channels: int) -> int:
    """The largest divisor of `channels` up to 8."""
    return next(groups for groups in range(8, 0, -1) if channels % groups == 0)


def save_judge(directory: Path, judge: Judge, description: dict[str, Any]) -> None:
    """Write `judge.safetensors`, and `judge.json` with image_channels, classes, widths, task."""
    save_weights(directory / "judge.safetensors", judge)
    write_json(directory / "judge.json", description)


def load_judge(directory: Path) -> Judge:
    """Read what `save_judge` wrote."""
    shape = read_json(directory / "judge.json")
    judge = Judge(shape["image_channels"], shape["classes"], shape["widths"])
    load_weights(directory / "judge.safetensors", judge)
    return judge.eval()


@torch.no_grad()
def classify(
    judge: Judge, images: NDArray[np.uint8], batch_size: int, device: torch.device
) -> NDArray[np.int64]:
    """The most probable class of every image.  uint8 (N, H, W, C) => int64 (N,)"""
    judge = judge.to(device)
    batches = _batches(images, batch_size, device)
    return np.concatenate([judge(batch.float() / 255).argmax(1).cpu().numpy() for batch in batches])


def _batches(images: NDArray[np.uint8], batch_size: int, device: torch.device) -> Iterator[Tensor]:
    """uint8 (B, C, H, W) on the device"""
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size]))
        yield batch.permute(0, 3, 1, 2).to(device)


class JudgeExtractor(FeatureExtractorBase):  # type: ignore[misc]
    """The judge behind torch-fidelity's interface: uint8 (B, 3, H, W) => ((B, F) float32,)"""

    def __init__(
        self, name: str, features_list: list[str], feature_extractor_weights_path: str, **_: Any
    ) -> None:
        super().__init__(name, features_list)
        self.judge = load_judge(Path(feature_extractor_weights_path))
        self.channels = self.judge.blocks[0][0].in_channels  # type: ignore[index]

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return (LAYER,)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return LAYER

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Grey images come with their one channel three times; the judge takes it once."""
        images = images[:, : self.channels].float() / 255
        return (torch.cat(self.judge.pooled(images), 1),)


if NAME not in FEATURE_EXTRACTORS_REGISTRY:
    register_feature_extractor(NAME, JudgeExtractor)


def load_extractor(
    metrics: MetricsConfig, reference: Path, device: torch.device
) -> FeatureExtractorBase:
    """The extractor that `metrics.features` names; the judge is read from `reference`.

    Raises:
        UserError: weights missing or damaged.
    """
    if metrics.features == "judge":
        name, layer, weights = NAME, LAYER, reference
    else:
        name, layer, weights = INCEPTION, INCEPTION_LAYER, _inception_weights(metrics.weights)
    try:
        extractor = create_feature_extractor(
            name, [layer], cuda=False, verbose=False, feature_extractor_weights_path=str(weights)
        )
    except RuntimeError as error:
        expected = "torch-fidelity's InceptionV3 weights"
        raise _not_weights(weights, expected, error) from None
    return extractor.to(device)


def _inception_weights(given: str | None) -> Path:
    """The weights file, checked to hold tensors alone: torch-fidelity would run code in it."""
    path = find("inception", given, "metrics.weights", "set metrics.features: judge")
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise _not_weights(path, "a file of weights and nothing else", error) from None
    return path


def _not_weights(path: Path, expected: str, error: Exception) -> UserError:
    fix = "get them with: python -m apps.weights inception, or set metrics.features: judge"
    return UserError(str(path), expected, " ".join(str(error).split())[:200], fix)


@torch.no_grad()
def extract(
    extractor: FeatureExtractorBase, images: NDArray[np.uint8], batch_size: int,
    device: torch.device,
) -> NDArray[np.float64]:  # fmt: skip
    """Features of every image.  uint8 (N, H, W, C), C 1 or 3 => float64 (N, F)"""
    features = []
    for batch in _batches(images, batch_size, device):
        (found,) = extractor(batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch)
        features.append(found.cpu().double().numpy())
    return np.concatenate(features)


def fidelity(
    metrics: MetricsConfig, real: NDArray[np.float64], fake: NDArray[np.float64]
) -> dict[str, float]:
    """FID and KID of the features of fakes to those of reals."""
    return {
        "fid": fid(real, fake),
        "kid": kid(real, fake, metrics.kid_subsets, metrics.kid_subset_size),
    }


def class_agreement(asked: NDArray[np.int64], judged: NDArray[np.int64]) -> float:
    """Share of images that the judge, which errs too, puts in the class asked for.

    int64 (N,) twice, N at least 1 => 0..1
    """
    return float((asked == judged).mean())


def judged_agreement(
    drawn: Path, images: NDArray[np.uint8], reference: Path, batch_size: int, device: torch.device
) -> float | None:
    """`class_agreement` of uint8 (N, H, W, C) `images` with `drawn`/labels.npy.

    None for an unconditional model, and where `reference` has no judge of classes.
    """
    asked, description = drawn / "labels.npy", reference / "judge.json"
    judged = description.exists() and read_json(description)["task"] == "labels"
    if not judged or not asked.exists():
        return None
    return class_agreement(
        np.load(asked), classify(load_judge(reference), images, batch_size, device)
    )
