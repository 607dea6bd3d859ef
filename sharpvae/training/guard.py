"""Stops a training whose loss or gradient is no longer a number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from sharpvae import processes
from sharpvae.errors import UserError


class NotFinite(UserError):
    """A term of the objective, or the gradient, stopped being a number.

    Attributes:
        update: at which it did, counted from 1.
        term: its name.
        value: nan or an infinity.
    """

    def __init__(self, context: str, term: str, value: float, update: int, where: str) -> None:
        shown = "nan" if math.isnan(value) else str(value)
        super().__init__(
            f"{context}: term '{term}' of the objective",
            "a finite number",
            f"{shown} at update {update} ({where})",
            "lower train.lr, or set train.grad_clip: 1.0",
        )
        self.update, self.term, self.value = update, term, value

    def add(self, note: str) -> None:
        """Say more at the end of the message."""
        self.fix = f"{self.fix}; {note}"
        self.args = (self.text(),)


class FiniteGuard:
    """Remembers on the device at which update each term first stopped being finite.

    Looking at a value on the host would wait for the GPU at every update, so `watch` only records
    and `check` looks. What `watch` returns makes an optimiser skip its step, without the host
    knowing, so that the weights stay those of the last good update.
    """

    def __init__(self, context: str) -> None:
        self.context = context
        self.names: list[str] = []
        self.first: Tensor | None = None  # (terms,) update of the first bad value, -1 for none
        self.values: Tensor | None = None  # (terms,) that value

    @torch.no_grad()
    def watch(self, step: int, terms: dict[str, Tensor]) -> Tensor:
        """Record update `step` (from 1); not every update need have every term.

        terms: any shape each

        Returns:
            float32 scalar: 1 from the first bad value on, 0 before; as an optimiser's `found_inf`.
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
        return (self.first >= 0).any().float()

    def check(self, epoch: int, **settings: float) -> None:
        """Raise if anything watched so far was not finite.

        Args:
            epoch: named in the message.
            settings: learning rate, beta and the like, named in the message.

        Raises:
            NotFinite: with the term, the update and the settings.
        """
        if self.first is None or self.values is None:
            return
        # An update that one process stopped at is one that all must stop at.
        seen = torch.where(self.first < 0, torch.iinfo(torch.int64).max, self.first)
        first = processes.least(seen).tolist()
        bad = [(step, i) for i, step in enumerate(first) if step < torch.iinfo(torch.int64).max]
        if not bad:
            return
        step, index = min(bad)
        shown = ", ".join(f"{name} {number:.4g}" for name, number in settings.items())
        value = float(processes.total(self.values)[index])  # 0 where it was another's
        where = f"epoch {epoch}; {shown}"
        raise NotFinite(self.context, self.names[index], value, step, where)
