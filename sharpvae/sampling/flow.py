"""A flow of the codes, fitted after training: a prior that is learned.

Noise x0 from N(0, I) is carried to codes x1 along dx/dt = v(x, t), where v is fitted to the speed
of points that move from one to the other (flow matching: Lipman et al. 2023; Liu et al. 2023). They
move along quarters of circles, cos(pi t / 2) x0 + sin(pi t / 2) x1 (Albergo & Vanden-Eijnden 2023),
so that points of whitened codes have the variance 1 at all times. That a second model of the codes
mends what a VAE's prior misses is shown by Dai & Wipf (2019) and, with diffusion, by Vahdat et al.
(2021). As for the mixture, only the axes of strong signal are modelled jointly (`sampling.codes`),
here each divided by its standard deviation.

Its density comes from the change of variables: log p(x1) = log N(x0) - integral of div v, with x0
found by going backwards (Chen et al. 2018) and the divergence computed exactly.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sharpvae.core.seeds import generator, global_seed
from sharpvae.sampling.codes import Axes, Codes, draws, principal_axes, repeated_labels
from sharpvae.sampling.config import FlowConfig, MixtureConfig
from sharpvae.vae.layers import SILU_GAIN

LEAST = 100  # images; fewer are learned by heart
LR = 6e-3  # of Adam, falling to 0 along a cosine
PIECES = 20  # steps of the midpoint rule
POOL = 50_000  # codes that are drawn to learn from, or as many as there are images
_WAVES = 3  # of the time, which the network sees as cosines and sines
_CHUNK = 1024  # points at a time


class Velocity(nn.Module):
    """v(x, t): two hidden layers.

    Args:
        axes: A, dimensions of x.
        classes: K, of the one-hot class that a conditional VAE's flow sees; 0 for none.
        width: of each hidden layer.
    """

    def __init__(self, axes: int, classes: int, width: int) -> None:
        super().__init__()
        self.axes, self.classes = axes, classes
        self.first = nn.Linear(axes + 1 + 2 * _WAVES + classes, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, axes)
        # Small first weights leave it at 0, the Gaussian's velocity, for long.
        for layer in (self.first, self.second):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear").data.mul_(SILU_GAIN)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        """float32 (B, A), (B,) in [0, 1], int64 (B,) or None => float32 (B, A)"""
        hidden = nn.functional.silu(self.first(self._inputs(x, time, labels)))
        return torch.as_tensor(self.last(nn.functional.silu(self.second(hidden))))

    def with_divergence(
        self, x: Tensor, time: Tensor, labels: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """v, and the sum of its derivatives dv_a / dx_a: float32 (B, A) and (B,)

        The Jacobian is W3 D2 W2 D1 W1, D the slopes of the activations; its trace needs no more
        than one product of matrices.
        """
        hidden, slope1 = _silu(self.first(self._inputs(x, time, labels)))
        hidden, slope2 = _silu(self.second(hidden))
        around = self.second.weight * (self.first.weight[:, : self.axes] @ self.last.weight).T
        return self.last(hidden), (slope2 @ around * slope1).sum(1)

    def _inputs(self, x: Tensor, time: Tensor, labels: Tensor | None) -> Tensor:
        turns = torch.pi * time[:, None] * 2.0 ** torch.arange(_WAVES)
        parts = [x, time[:, None], turns.cos(), turns.sin()]
        if self.classes:
            if labels is None:
                raise ValueError("a flow of a conditional VAE needs the classes asked for")
            parts.append(nn.functional.one_hot(labels, self.classes).float())
        return torch.cat(parts, 1)


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    """Its values and its slopes."""
    gate = torch.sigmoid(x)
    return x * gate, gate * (1 + x * (1 - gate))


class Flow(NamedTuple):
    """A density of codes; without `velocity` it is one Gaussian.

    Attributes:
        axes: from codes to axes of signal.
        strong: A, how many of them, the first, are modelled jointly.
        velocity: on whitened axes; None: these are independent Gaussians, too.
    """

    axes: Axes
    strong: int
    velocity: Velocity | None = None

    @torch.no_grad()
    def sample(
        self, count: int, source: torch.Generator, labels: Tensor | None = None,
        temperature: float = 1.0,
    ) -> Tensor:  # fmt: skip
        """`count` codes, float32 (count, Z), on the CPU, from a generator on the CPU.

        Args:
            labels: int64 (count,), the classes asked for; an unconditional VAE needs none.
            temperature: factor of the noise that is carried to codes.
        """
        noise = torch.randn(count, len(self.axes.centre), generator=source, dtype=torch.float64)
        scaled = temperature * noise.numpy()
        if self.velocity is not None:
            x = torch.from_numpy(scaled[:, : self.strong]).float()
            for start in range(0, count, _CHUNK):
                part = slice(start, start + _CHUNK)
                asked = None if labels is None else labels[part]
                scaled[part, : self.strong] = carried(self.velocity, x[part], asked).numpy()
        return torch.from_numpy(self.axes.to_codes(scaled * np.sqrt(self.axes.rest(0)))).float()

    def log_density(self, codes: NDArray[np.float64], labels: Tensor | None = None) -> float:
        """Mean log-density of codes, float64 (N, Z), in nats."""
        coordinates = self.axes.to_axes(codes)
        base = self.axes.rest_density(coordinates, self.strong)
        variances = self.axes.rest(0)[: self.strong]
        x = coordinates[:, : self.strong] / np.sqrt(variances)
        points, volume = torch.from_numpy(x).float(), 0.5 * np.log(variances).sum()
        own = gaussian(points) if self.velocity is None else density(self.velocity, points, labels)
        return base + float(own.mean() - volume)


def gaussian(x: Tensor) -> Tensor:
    """Log-density of N(0, I): (N, A) => (N,)"""
    return -0.5 * (x.square() + np.log(2 * np.pi)).sum(1)


@torch.no_grad()
def carried(
    velocity: Velocity, x: Tensor, labels: Tensor | None, backwards: bool = False
) -> Tensor:
    """Noise to whitened codes, or backwards, by the midpoint rule: float32 (B, A) => (B, A)"""
    step = (-1 if backwards else 1) / PIECES
    time = torch.full((len(x),), float(backwards))
    for _ in range(PIECES):
        middle = x + step / 2 * velocity(x, time, labels)
        x = x + step * velocity(middle, time + step / 2, labels)
        time = time + step
    return x


@torch.no_grad()
def density(velocity: Velocity, x: Tensor, labels: Tensor | None) -> Tensor:
    """Log-density of whitened codes: float32 (N, A) => (N,)"""
    found = []
    for start in range(0, len(x), _CHUNK):
        part = slice(start, start + _CHUNK)
        point, asked = x[part], None if labels is None else labels[part]
        step, total = -1 / PIECES, torch.zeros(len(point))
        time = torch.ones(len(point))
        for _ in range(PIECES):
            middle = point + step / 2 * velocity(point, time, asked)
            flow, divergence = velocity.with_divergence(middle, time + step / 2, asked)
            point, total, time = point + step * flow, total + step * divergence, time + step
        found.append(gaussian(point) + total)  # the steps are negative
    return torch.cat(found)


def fit_flow(
    train: Codes, unseen: Codes, config: FlowConfig, mixture: MixtureConfig, classes: int, seed: int
) -> tuple[Flow, dict[str, Any]]:
    """Fit a flow to `train`, on the axes on which the mixture is fitted.

    Args:
        train: posteriors of training images.
        unseen: those of validation images, which decide whether the flow is better than one
            Gaussian.
        classes: of a conditional VAE, whose flow sees them; else 0.

    Returns:
        The flow, and for priors.json how many `axes` it models; `one_gaussian`, why it is only
        that, or None.
    """
    axes = principal_axes(train)
    strong = axes.strong(mixture.signal, mixture.axes)
    found, why = Flow(axes, strong), None
    if strong == 0:
        why = "no axis of the codes carries a signal"
    elif len(train.mean) < LEAST:
        why = f"{len(train.mean)} images to learn from; {LEAST} are the least"
    else:
        fitted = Flow(axes, strong, _learned(axes, strong, train, config, classes, seed))
        points = draws(unseen, min(POOL, len(unseen.mean)), generator(seed, "flow validation"))
        labels = repeated_labels(unseen, len(points)) if classes else None
        ours, gauss = fitted.log_density(points, labels), found.log_density(points)
        if ours > gauss:
            found = fitted
        else:
            why = f"{ours:.4g} nats of validation codes, where one Gaussian has {gauss:.4g}"
    return found, {"axes": strong, "one_gaussian": why}


def _learned(
    axes: Axes, strong: int, train: Codes, config: FlowConfig, classes: int, seed: int
) -> Velocity:
    """The velocity, after `config.steps` steps of Adam."""
    deviation = np.sqrt(axes.rest(0))[:strong]
    count = max(len(train.mean), POOL)
    codes = draws(train, count, generator(seed, "flow codes"))
    pool = torch.from_numpy(axes.to_axes(codes)[:, :strong] / deviation).float()
    labels = repeated_labels(train, count) if classes else None
    with global_seed(seed, "flow"):
        velocity = Velocity(strong, classes, config.width)
    optimizer = torch.optim.Adam(velocity.parameters(), lr=LR, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.steps)
    random = generator(seed, "flow fit")
    for _ in range(config.steps):
        chosen = torch.randint(len(pool), (config.batch_size,), generator=random)
        noise = torch.randn(config.batch_size, strong, generator=random)
        time = torch.rand(config.batch_size, generator=random)
        cos, sin = (wave(torch.pi / 2 * time)[:, None] for wave in (torch.cos, torch.sin))
        speed = torch.pi / 2 * (cos * pool[chosen] - sin * noise)
        asked = None if labels is None else labels[chosen]
        found = velocity(cos * noise + sin * pool[chosen], time, asked)
        loss = (found - speed).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return velocity.requires_grad_(False)
