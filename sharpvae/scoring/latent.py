"""Latent health: what the codes of images tell, and how the prior fits them.

From the posteriors of real images that the VAE was not trained on: mean and log_var, float32 (N, Z)
both, of independent Gaussians q(z|x). Their mixture over images is the aggregate posterior q(z);
the prior p(z) is N(0, I). Everything is in nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp
from threadpoolctl import threadpool_limits

from sharpvae.core.seeds import seed_of

Floats = NDArray[np.float32]

SIGNAL = 0.1  # of the noise's variance; an axis at it carries 0.05 nats


def active_units(mean: Floats, threshold: float) -> int:
    """Latent dimensions whose posterior mean varies: Var_x E[z|x] > threshold.

    Burda et al. 2016, section 5.2, with threshold 0.01. None is a collapsed posterior. Means may
    vary together, or by less than their noise: `signal_axes` counts what is told.
    float32 (N, Z) => 0..Z
    """
    return int((mean.astype(np.float64).var(axis=0) > threshold).sum())


def kl_per_dimension(mean: Floats, log_var: Floats) -> NDArray[np.float64]:
    """KL of posterior to prior in nats, mean over images: float32 (N, Z) twice => float64 (Z,)"""
    m, v = mean.astype(np.float64), log_var.astype(np.float64)
    return np.asarray((0.5 * (m**2 + np.exp(v) - 1 - v)).mean(axis=0))


def signal_axes(
    mean: Floats, log_var: Floats, threshold: float = SIGNAL
) -> tuple[int, NDArray[np.float64]]:
    """Principal axes of the means along which they vary by more than `threshold` of the noise.

    Each dimension is divided by the root of its mean posterior variance, so noise has variance 1.
    float32 (N, Z) twice => 0..min(N, Z), all variances along axes in falling order, float64 of
    that length

    Raises:
        ValueError: fewer than two images, shapes that differ, values that are not finite.
    """
    m, v = _moments(mean, log_var)
    scaled = (m - m.mean(axis=0)) / np.sqrt(v.mean(axis=0))
    # The smaller of the two matrices of products; both have the same eigenvalues.
    products = scaled @ scaled.T if len(m) < m.shape[1] else scaled.T @ scaled
    variances = np.maximum(np.linalg.eigvalsh(products / len(m))[::-1], 0)
    return int((variances > threshold).sum()), variances


@dataclass(frozen=True)
class KLSplit:
    """KL = information + marginal (Hoffman and Johnson 2016, eq. 4), in nats an image.

    Attributes:
        total: mean over images of KL(q(z|x) || p(z)).
        information: between image and code, I(x; z): a bound from above.
        marginal: KL(q(z) || p(z)), what samples of the prior miss: a bound from below.
    """

    total: float
    information: float
    marginal: float


def kl_split(mean: Floats, log_var: Floats) -> KLSplit:
    """Split the KL as if the aggregate posterior were the Gaussian with its mean and covariance S.

    Exact where it is one. Else that Gaussian is the one nearest to it, so the KL that is left to
    the prior is too low, and the information too high, by the KL of q(z) to the Gaussian.
    S = Cov(mean) + diag(mean variance) has full rank for any N; its determinant comes from the
    variances along signal axes, of which there are at most N - 1. With few images they are too
    uneven, and the information is too low: by 2 % at N = 250 of 512 dimensions and 30 axes.
    float32 (N, Z) twice

    Raises:
        ValueError: as of `signal_axes`.
    """
    _, v = _moments(mean, log_var)
    _, variances = signal_axes(mean, log_var)
    jensen = np.log(v.mean(axis=0)) - log_var.astype(np.float64).mean(axis=0)
    information = 0.5 * float(np.log1p(variances).sum() + jensen.sum())
    total = float(kl_per_dimension(mean, log_var).sum())
    return KLSplit(total, information, total - information)


def information_least(mean: Floats, log_var: Floats, draws: int = 2) -> float:
    """A bound from below of the information, to stand beside that of `kl_split`.

    Monte Carlo with the mixture of these N posteriors as q(z) (Hoffman and Johnson 2016, section
    3): it cannot exceed log N, which a healthy code comes near to. The noise is the same at every
    call. float32 (N, Z) twice => 0..log N, up to the noise of `draws` codes an image

    Raises:
        ValueError: as of `signal_axes`.
    """
    m, v = _moments(mean, log_var)
    noise = np.random.default_rng(seed_of(0, "information"))
    precision = 1 / v
    constant = (m * m * precision).sum(axis=1) + np.log(v).sum(axis=1)
    found = []
    for _ in range(draws):
        z = m + np.sqrt(v) * noise.standard_normal(m.shape)
        log_density = (z * z) @ precision.T - 2 * z @ (m * precision).T + constant
        log_density *= -0.5
        mixture = logsumexp(log_density, axis=1) - np.log(len(m))
        found.append(np.diag(log_density) - mixture)
    return float(np.mean(found))


def aggregate(mean: Floats, log_var: Floats) -> dict[str, float]:
    """How the aggregate posterior differs from the prior, by its first two moments.

    `marginal_kl`: of all dimensions, as `kl_split`. `marginal_kl_axes`: the part that each
    dimension's own mean and deviation explain, from 0; the rest is correlation between them,
    which whitening or a mixture prior mends. `worst_axis`: the dimension with most of it, with
    `worst_kl`, `worst_mean` (0 in the prior) and `worst_deviation` (1). `narrowest`, `widest`:
    deviations along the principal axes (1).
    float32 (N, Z) twice => these numbers

    Raises:
        ValueError: as of `signal_axes`.
    """
    m, v = _moments(mean, log_var)
    covariance = np.atleast_2d(np.cov(m, rowvar=False, ddof=0)) + np.diag(v.mean(axis=0))
    centre, variance = m.mean(axis=0), np.diag(covariance)
    kl = 0.5 * (centre**2 + variance - 1 - np.log(variance))
    worst = int(kl.argmax())
    along = np.linalg.eigvalsh(covariance)
    return {
        "marginal_kl": 0.5 * float((along - 1 - np.log(along)).sum() + centre @ centre),
        "marginal_kl_axes": float(kl.sum()),
        "worst_axis": worst,
        "worst_kl": float(kl[worst]),
        "worst_mean": float(centre[worst]),
        "worst_deviation": float(np.sqrt(variance[worst])),
        "narrowest": float(np.sqrt(along[0])),
        "widest": float(np.sqrt(along[-1])),
    }


def latent_health(mean: Floats, log_var: Floats, active_threshold: float) -> dict[str, float]:
    """All numbers of this module that a report shows, with those of `aggregate`.

    Raises:
        ValueError: as of `signal_axes`.
    """
    with threadpool_limits(1, user_api="blas"):  # more are slower at these sizes
        split = kl_split(mean, log_var)
        return {
            "kl": split.total,
            "information": split.information,
            "information_least": information_least(mean, log_var),
            "signal_axes": signal_axes(mean, log_var)[0],
            "active_units": active_units(mean, active_threshold),
            **aggregate(mean, log_var),
        }


def _moments(mean: Floats, log_var: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means and variances, float64 (N, Z), checked."""
    if mean.ndim != 2 or mean.shape != log_var.shape or mean.shape[1] == 0:
        raise ValueError(f"mean {mean.shape} and log_var {log_var.shape} must both be (N, Z)")
    if len(mean) < 2:
        raise ValueError("the posterior of one image says nothing about others")
    with np.errstate(over="ignore"):
        m, v = mean.astype(np.float64), np.exp(log_var.astype(np.float64))
    if not (np.isfinite(m).all() and np.isfinite(v).all() and (v > 0).all()):
        raise ValueError("posterior means or variances are not finite, or a variance is 0")
    return m, v
