"""An exponential moving average of the weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from sharpvae.networks.vae import VAE


class Average:
    """A second VAE whose weights follow those of the one that learns.

    After update t: average = d * average + (1 - d) * weights, with d the smaller of the decay and
    (1 + t) / (10 + t), so that the random first weights are soon forgotten (as TensorFlow's
    ExponentialMovingAverage has it). The statistics of batch norm are averaged likewise, for they
    belong to the weights; counters are copied.

    Args:
        vae: the one that learns; its copy starts equal to it.
        decay: in (0, 1).
    """

    def __init__(self, vae: VAE, decay: float) -> None:
        self.decay = decay
        self.vae = copy.deepcopy(vae).requires_grad_(False).eval()
        pairs = list(zip(self.vae.state_dict().values(), vae.state_dict().values(), strict=True))
        self._averaged: tuple[list[Tensor], list[Tensor]] = _columns(pairs, floating=True)
        self._copied: tuple[list[Tensor], list[Tensor]] = _columns(pairs, floating=False)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the weights after update `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        for average, counter in zip(*self._copied, strict=True):
            average.copy_(counter)


def _columns(
    pairs: list[tuple[Tensor, Tensor]], floating: bool
) -> tuple[list[Tensor], list[Tensor]]:
    some = [pair for pair in pairs if pair[0].is_floating_point() == floating]
    return [average for average, _ in some], [value for _, value in some]
