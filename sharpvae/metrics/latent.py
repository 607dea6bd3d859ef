"""Health of the latent space, from the posterior of the test images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def active_units(mean: NDArray[np.float32], threshold: float) -> int:
    """Latent dimensions whose posterior mean varies: Var_x E[z|x] > threshold.

    Burda et al. 2016, section 5.2, with threshold 0.01. None is a collapsed posterior.
    float32 (N, Z) => 0..Z
    """
    return int((mean.astype(np.float64).var(axis=0) > threshold).sum())


def kl_per_dimension(
    mean: NDArray[np.float32], log_var: NDArray[np.float32]
) -> NDArray[np.float64]:
    """KL of the posterior to the standard normal prior in nats, averaged over images.

    float32 (N, Z) twice => float64 (Z,)
    """
    m, v = mean.astype(np.float64), log_var.astype(np.float64)
    return np.asarray((0.5 * (m**2 + np.exp(v) - 1 - v)).mean(axis=0))
