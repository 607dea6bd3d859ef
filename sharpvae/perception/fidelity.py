"""Distances between two sets of features, computed by torch-fidelity.

It is imported late: that takes over a second, and of trainings only `train.best_by: fid` needs it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray


def fid(reals: NDArray[np.float64], fakes: NDArray[np.float64]) -> float:
    """Frechet distance between Gaussians fitted to both sets (Heusel et al. 2017, eq. 6).

    Biased upwards for small N; compare values of equal N, split and extractor only.
    float64 (N, F) and (M, F), N and M at least 2 => a number >= 0
    """
    from torch_fidelity.metric_fid import (
        KEY_METRIC_FID,
        fid_features_to_statistics,
        fid_statistics_to_metric,
    )

    _check(reals, fakes, 2)
    statistics = [fid_features_to_statistics(torch.from_numpy(set_)) for set_ in (reals, fakes)]
    value = fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]
    if not np.isfinite(value):
        raise FloatingPointError(f"FID is {value}")
    return max(float(value), 0.0)  # the trace of a root leaves -1e-12 where the sets are equal


def kid(
    reals: NDArray[np.float64], fakes: NDArray[np.float64], subsets: int, subset_size: int
) -> float:
    """Kernel distance: the unbiased squared MMD, averaged over subsets (Binkowski et al. 2018).

    Unbiased in N, so slightly negative values are right where the sets agree.
    float64 (N, F) and (M, F), N and M at least `subset_size` => a number
    """
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    _check(reals, fakes, subset_size)
    scores = kid_features_to_metric(
        torch.from_numpy(reals),
        torch.from_numpy(fakes),
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        verbose=False,
    )
    return float(scores[KEY_METRIC_KID_MEAN])


def _check(reals: NDArray[np.float64], fakes: NDArray[np.float64], least: int) -> None:
    for name, features in (("real", reals), ("generated", fakes)):
        if len(features) < least:
            raise ValueError(f"{len(features)} {name} images; {least} are needed")
        if not np.isfinite(features).all():
            raise ValueError(f"features of the {name} images are not finite")
