"""Whether a training stopped too soon, told from its validation losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

FEWEST = 6  # values, of which a trend can be told from chance
CHANCE = 0.05  # of a trend as clear in values that have none
WORTH = 0.01  # of the loss: what is left to gain that is worth a longer training
FARTHEST = 4.0  # spans ahead, beyond which no end of a fall is foretold


class Outlook(NamedTuple):
    """How a training would go on.

    Attributes:
        falling: the loss was still falling, and 1 % of it or more is left to gain.
        wanted: so many epochs more until less than that is left; None where `falling` is false, or
            where the fall does not slow down enough to tell its end.
    """

    falling: bool
    wanted: int | None


def outlook(losses: Sequence[float]) -> Outlook:
    """The outlook after validation losses of all epochs, at one and the same beta.

    The fall is judged by its last third: Kendall's rank correlation with time (Mann 1945), which
    neither noise nor a single bad epoch misleads. What is left of it is that of

        a + b * exp(-t / tau), b >= 0

    at least squares over the last half, where warm-ups have passed. A learning rate that falls to 0
    flattens the curve as well as the end of learning does: then it promises too little.
    """
    values = np.asarray(losses, dtype=np.float64)
    third = values[-max(FEWEST, len(values) // 3) :]
    if len(third) < FEWEST:
        return Outlook(False, None)
    trend = kendalltau(np.arange(len(third)), third, alternative="less")
    if not trend.pvalue < CHANCE:
        return Outlook(False, None)
    half = values[-max(FEWEST, len(values) // 2) :]
    end, left, tau = _decay(half)
    worth = WORTH * abs(end)
    if left <= worth:
        return Outlook(False, None)
    if tau > FARTHEST * len(half):
        return Outlook(True, None)
    wanted = int(np.ceil(tau * np.log(left / max(worth, np.finfo(float).tiny))))
    return Outlook(True, wanted if wanted <= FARTHEST * len(values) else None)


def _decay(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """The fitted curve's last value, what is left to its limit, and tau in epochs."""
    time = np.arange(len(values)) - (len(values) - 1.0)  # 0 at the last: b is what is left
    best = (np.inf, float(values[-1]), 0.0, 1.0)
    for tau in np.geomspace(0.5, 2 * FARTHEST * len(values), 200):
        # Scaled to 1 at its largest, as exp(-time / tau) overflows where tau is short.
        shape = np.exp(-(time - time[0]) / tau)
        centred = shape - shape.mean()
        scale = max(0.0, float(centred @ values / (centred @ centred)))
        limit = float(values.mean() - scale * shape.mean())
        error = float(np.square(values - limit - scale * shape).sum())
        left = scale * float(shape[-1])
        if error < best[0]:
            best = (error, limit + left, left, float(tau))
    return best[1:]
