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
        """Record update `step` (from 1); not every update need have every term.

        terms: any shape each
        """
        some = {name: term.detach().float().sum() for name, term in terms.items()}
        device = next(iter(some.values())).device
        new = [name for name in some if name not in self.names]
        if self.first is None or self.values is None or new:
            first = torch.full((len(new),), -1, dtype=torch.int64, device=device)
            values = torch.zeros(len(new), device=device)
            self.first = first if self.first is None else torch.cat([self.first, first])
            self.values = values if self.values is None else torch.cat([self.values, values])
            self.names += new
        absent = torch.zeros((), device=device)
        now = torch.stack([some.get(name, absent) for name in self.names])
        bad = ~torch.isfinite(now) & (self.first < 0)
        self.values = torch.where(bad, now, self.values)
        self.first = torch.where(bad, step, self.first)

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
