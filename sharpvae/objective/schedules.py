"""Schedules as pure functions of the step, so that no loss carries a counter."""

from __future__ import annotations


def linear_warmup(step: int, warmup_steps: int, target: float) -> float:
    """`target * step / warmup_steps`, then `target`.

    Args:
        step: updates done so far; 0 at the first update.
        warmup_steps: updates until the target is reached; 0 starts at the target.
    """
    return target if step >= warmup_steps else target * step / warmup_steps
