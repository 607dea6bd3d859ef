"""Stops a training whose loss is no longer a number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sharpvae.errors import UserError


class FiniteGuard:
    """Remembers on the device at which update each term first stopped being finite.

    Looking at a value on the host would wait for the GPU at every update, so `watch` only records
    and `check` looks.
    """

    def __init__(self, context: str) -> None:
        self.context = context
        self.names: list[str] = []
        self.first: Tensor | None = None  # (terms,) update of the first bad value, -1 for none
        self.values: Tensor | None = None  # (terms,) that value

    @torch.no_grad()
    def watch(self, step: int, terms: dict[str, Tensor]) -> None:
        """Record update `step` (from 1).  terms: any shape each"""
        values = torch.stack([term.detach().float().sum() for term in terms.values()])
        if self.first is None or self.values is None:
            self.names = list(terms)
            self.first = torch.full((len(values),), -1, dtype=torch.int64, device=values.device)
            self.values = torch.zeros_like(values)
        new = ~torch.isfinite(values) & (self.first < 0)
        self.values = torch.where(new, values, self.values)
        self.first = torch.where(new, step, self.first)

    def check(self, epoch: int, **settings: float) -> None:
        """Raise if anything watched so far was not finite.

        Args:
            epoch: named in the message.
            settings: learning rate, beta and the like, named in the message.

        Raises:
            UserError: with the term, the update and the settings.
        """
        if self.first is None or self.values is None:
            return
        first = self.first.tolist()
        bad = [(step, i) for i, step in enumerate(first) if step >= 0]
        if not bad:
            return
        step, index = min(bad)
        value = float(self.values[index])
        shown = ", ".join(f"{name} {number:.4g}" for name, number in settings.items())
        raise UserError(
            f"{self.context}: term '{self.names[index]}' of the objective",
            "a finite number",
            f"{'nan' if math.isnan(value) else value} at update {step} (epoch {epoch}; {shown})",
            "lower train.lr, or set train.grad_clip: 1.0; nothing was written",
        )
