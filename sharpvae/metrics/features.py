"""Features of images through torch-fidelity's extractors: one path for reals and fakes."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch_fidelity import FeatureExtractorBase
from torch_fidelity.utils import create_feature_extractor

from sharpvae.config.schema import MetricsConfig
from sharpvae.errors import UserError
from sharpvae.metrics.judge import LAYER, NAME
from sharpvae.pretrained import find

INCEPTION = "inception-v3-compat"
INCEPTION_LAYER = "2048"


def load_extractor(
    metrics: MetricsConfig, reference: Path, device: torch.device
) -> FeatureExtractorBase:
    """The extractor that `metrics.features` names.

    Args:
        metrics: the `metrics` section.
        reference: directory with the judge.
        device: where to compute.

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
        raise UserError(
            str(weights),
            "torch-fidelity's InceptionV3 weights",
            " ".join(str(error).split())[:200],
            "get them with: python -m apps.weights inception, or set metrics.features: judge",
        ) from None
    return extractor.to(device)


def _inception_weights(given: str | None) -> Path:
    """The weights file, shown to hold nothing but tensors.

    torch-fidelity reads it with an unpickler that would run code, so it is read once here with
    one that does not.
    """
    path = find("inception", given, "metrics.weights", "set metrics.features: judge")
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError) as error:
        raise UserError(
            str(path),
            "a file of weights and nothing else",
            " ".join(str(error).split())[:200],
            "get it with: python -m apps.weights inception, or set metrics.features: judge",
        ) from None
    return path


@torch.no_grad()
def extract(
    extractor: FeatureExtractorBase,
    images: NDArray[np.uint8],
    batch_size: int,
    device: torch.device,
) -> NDArray[np.float64]:
    """Features of every image.

    uint8 (N, H, W, C), C 1 or 3 => float64 (N, F)
    """
    batches = []
    for start in range(0, len(images), batch_size):
        batch = torch.from_numpy(np.array(images[start : start + batch_size]))
        batch = batch.permute(0, 3, 1, 2).to(device)
        batch = batch.expand(-1, 3, -1, -1) if batch.shape[1] == 1 else batch
        (features,) = extractor(batch)
        batches.append(features.cpu().double().numpy())
    return np.concatenate(batches)
