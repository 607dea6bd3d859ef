"""Schedules as pure functions of the step, so that no loss carries a counter."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sharpvae.objective.config import ScheduleConfig

_STEEPNESS = 12.0  # of the sigmoid: from 0.25 % to 99.75 % of its range over `length`


@dataclass(frozen=True)
class Span:
    """How long a training is.

    Attributes:
        epoch_steps: updates an epoch, >= 1.
        epochs: of the whole training, >= 1.
    """

    epoch_steps: int
    epochs: int

    @property
    def steps(self) -> int:
        """Updates of the whole training."""
        return self.epoch_steps * self.epochs


def fraction_of_full(schedule: ScheduleConfig, step: int, span: Span) -> float:
    """What a weight is to be multiplied by at `step`, in [0, 1].

    0 before `start`; then a rise over `length` and 1 from there on. With time x in [0, 1] within
    the rise:

        constant    1 at once
        linear      x
        cosine      (1 - cos(pi x)) / 2
        sigmoid     the logistic curve (Bowman et al. 2016), stretched to meet 0 and 1
        cyclic      x, begun anew every `cycle` (Fu et al. 2019, where length / cycle is called R)

    Args:
        schedule: its times count in epochs, updates or fractions of the training.
        step: updates done so far; 0 at the first update.
        span: of the training.
    """
    if schedule.every == "epoch":
        step = step // span.epoch_steps * span.epoch_steps
    unit = {"epochs": span.epoch_steps, "steps": 1, "fraction": span.steps}[schedule.unit]
    time = step / unit - schedule.start
    if time < 0:
        return 0.0
    if schedule.shape == "constant":
        return 1.0
    if schedule.shape == "cyclic":
        # Counted in updates: 0.3 % 0.1 is no exact multiple, 30 % 10 is.
        cycle = max(1, round(schedule.cycle * unit))
        time = (step - round(schedule.start * unit)) % cycle / unit
    x = min(1.0, time / schedule.length) if schedule.length > 0 else 1.0
    return _rise(schedule.shape, x)


def _rise(shape: str, x: float) -> float:
    if shape == "cosine":
        return (1 - math.cos(math.pi * x)) / 2
    if shape == "sigmoid":
        low, here, high = (1 / (1 + math.exp(-_STEEPNESS * (t - 0.5))) for t in (0.0, x, 1.0))
        return (here - low) / (high - low)
    return x


def never_starts(schedule: ScheduleConfig, span: Span) -> bool:
    """Whether the weight is 0 at every update."""
    if schedule.shape == "cyclic":  # which is 0 again at the beginning of each cycle
        schedule = schedule.model_copy(update={"shape": "linear"})
    return fraction_of_full(schedule, span.steps - 1, span) == 0


def late_start(
    schedule: ScheduleConfig, weight: float, epochs: int, epoch_steps: int | None = None
) -> str | None:
    """What `start` has to be, where a weight above 0 would stay 0 to the end; else None.

    Args:
        epochs: of the training.
        epoch_steps: updates an epoch; None while that is unknown: then a start in updates passes.
    """
    if weight == 0:
        return None
    if epoch_steps is not None:
        span = Span(epoch_steps, epochs)
        late = never_starts(schedule, span)
        return f"before the last of the {span.steps} updates" if late else None
    end = {"epochs": epochs, "fraction": 1}.get(schedule.unit)
    if end is None or schedule.start < end:
        return None
    return f"below {end}, where training is at its end"


def lr_factor(kind: str, step: int, span: Span, warmup: float, factor: float, every: int) -> float:
    """What the learning rate is multiplied by at `step`, in [0, 1].

    Args:
        kind: `none` is 1; `cosine` rises linearly from 0 over the first `warmup` of all updates
            and falls to 0 along half a cosine (Loshchilov & Hutter 2017); `step` multiplies by
            `factor` every `every` epochs.
        step: updates done so far.
        warmup: fraction of all updates, in [0, 1).
        factor, every: of `step`; in (0, 1), and epochs >= 1.
    """
    if kind == "cosine":
        rise = min(round(warmup * span.steps), span.steps - 1)
        if step < rise:
            return step / rise
        return (1 + math.cos(math.pi * min(1.0, (step - rise) / (span.steps - rise)))) / 2
    if kind == "step":
        return factor ** (step // span.epoch_steps // every)
    return 1.0
