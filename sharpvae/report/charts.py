"""What the charts show: curves over the epochs, histograms, the spectrum of the latent space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from sharpvae.report.drawing import WIDE_PANEL, Panel
from sharpvae.report.evidence import Evidence, Record, Run
from sharpvae.report.numerals import MINUS
from sharpvae.report.palette import Theme

_BINS = 48
_NOTHING = 1e5  # of the largest: what is smaller is 0 to the eye, as the end of a cosine is
_TERMS = {
    "loss": "Total loss, as weighted by each variant",
    "mse": "Squared error, summed over pixels",
    "l1": "Absolute error, summed over pixels",
    "bce": "Binary cross-entropy, nats",
    "gaussian": "Gaussian negative log-likelihood, nats",
    "frequency": "Focal frequency error",
    "perceptual": "Perceptual distance",
    "lpips": "LPIPS",
    "adversarial": "Adversarial loss of the decoder",
    "discriminator": "Loss of the discriminator",
    "kl": "KL divergence, nats",
    "spared_kl": "KL divergence that is not free, nats",
    "active_units": "Active latent dimensions",
    "fid": "FID of prior samples, validation images, features of the critic",
    "gradient": "Norm of the gradient before clipping",
    "beta": "Weight of the KL (beta)",
    "lr": "Learning rate",
}


def curve_panels(evidence: Evidence) -> list[Panel]:
    """A chart of every loss term and of every schedule, over the epochs."""
    seen = {(r.split == "schedule", r.term) for run in evidence.all_runs for r in run.history}
    order = list(_TERMS)
    known = sorted(
        seen, key=lambda s: (s[0], order.index(s[1]) if s[1] in order else len(order), s[1])
    )
    return [_curve_panel(evidence, term, schedule) for schedule, term in known]


def _curve_panel(evidence: Evidence, term: str, schedule: bool) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        values: list[float] = []
        for index, runs in enumerate(evidence.runs.values()):
            # schedules often coincide: a later variant's thinner line leaves the earlier in sight
            width = 1.3 + 4.4 * (1 - (index + 1) / len(evidence.runs))
            for run in runs:
                colour = theme.colour(index)
                if schedule:
                    values += _draw_schedule(axes, run, term, colour, width)
                else:
                    values += _draw_run(axes, run, term, colour, len(runs) > 1)
        _choose_scale(axes, values)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))

    title = _TERMS.get(term, term)
    ends = [
        f"{run.variant} seed {run.seed} ends at {_last(run.history, term)}"
        for run in evidence.all_runs
        if _last(run.history, term)
    ]
    return Panel(term, title, f"{title}, by epoch: {'; '.join(ends)}.", draw)


def _draw_run(axes: Axes, run: Run, term: str, colour: str, several: bool) -> list[float]:
    """Train dashed, validation solid with a dot where earlier weights were kept."""
    drawn: list[float] = []
    for split, dashes in (("train", "--"), ("validation", "-")):
        records = [r for r in run.history if r.split == split and r.term == term]
        if not records:
            continue
        epochs, values = [r.epoch for r in records], [r.value for r in records]
        marker = "." if len(records) == 1 else ""
        axes.plot(epochs, values, dashes, color=colour, marker=marker, **_weight(several))
        if split == "validation" and run.summary.kept == "best":
            kept = [r for r in records if r.epoch == run.summary.kept_epoch]
            axes.plot([r.epoch for r in kept], [r.value for r in kept], "o", color=colour, ms=4)
        drawn += values
    return drawn


def _draw_schedule(axes: Axes, run: Run, term: str, colour: str, width: float) -> list[float]:
    records = [r for r in run.history if r.split == "schedule" and r.term == term]
    values = [r.value for r in records]
    marker = "." if len(records) == 1 else ""
    axes.plot([r.epoch for r in records], values, color=colour, lw=width, marker=marker)
    return values


def _weight(several: bool) -> dict[str, Any]:
    """Line width and opacity: lighter where every variant has several lines."""
    return {"lw": 1.0, "alpha": 0.8} if several else {"lw": 1.5}


def _last(history: Sequence[Record], term: str) -> str:
    """The last validation (or only) value of a term, or "" where it was not logged."""
    records = [r for r in history if r.term == term and r.split != "train"]
    return f"{records[-1].value:.4g}" if records else ""


def sharpness_panels(evidence: Evidence) -> list[Panel]:
    """Histograms of the sharpness of single images: of samples, and of reconstructions."""
    titles = {
        "prior_sharpness": "Samples from the prior",
        "reconstruction_sharpness": "Reconstructions of test images",
    }
    return [_sharpness_panel(evidence, key, title) for key, title in titles.items()]


def _sharpness_panel(evidence: Evidence, key: str, title: str) -> Panel:
    real = evidence.test_sharpness
    fakes = {
        name: np.concatenate([getattr(run, key) for run in runs])
        for name, runs in evidence.runs.items()
    }
    edges = _log_edges([real, *fakes.values()])

    def draw(axes: Axes, theme: Theme) -> None:
        heights = _share(real, edges)
        axes.stairs(heights, edges, fill=True, color=theme.real, alpha=0.45, lw=0)
        top = heights.max()
        for index, values in enumerate(fakes.values()):
            axes.stairs(_share(values, edges), edges, color=theme.colour(index), lw=1.4)
            top = max(top, min(_share(values, edges).max(), 2.5 * heights.max()))
        # a collapsed model's images are all alike: its one tall bar would flatten all others
        axes.set_ylim(0, 1.12 * top)
        for index, values in [(-1, real), *enumerate(fakes.values())]:
            colour = theme.real if index < 0 else theme.colour(index)
            mean = min(max(values.mean(), edges[0]), edges[-1])
            axes.plot(mean, 1.12 * top, "v", color=colour, ms=7, clip_on=False, zorder=5)
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        _plain_log_ticks(axes, "x", edges)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
        axes.set_xlabel("Laplacian variance of an image")
        axes.set_ylabel("share of images")

    means = [f"{name} {values.mean():.4g}" for name, values in fakes.items()]
    alt = f"Sharpness of single images. {title}: means are {', '.join(means)}; real test images "
    return Panel(key, title, f"{alt}{real.mean():.4g}.", draw, WIDE_PANEL)


def _log_edges(samples: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Bin edges, evenly spaced in the logarithm; the lowest hundredth may fall into the first."""
    values = np.concatenate([s[s > 0] for s in samples])
    if not len(values):
        return np.geomspace(1e-6, 1.0, _BINS + 1)
    low, high = float(np.quantile(values, 0.01)), float(values.max())
    low = max(min(low, high / 2), high * 1e-6)  # at least a factor of 2, at most six decades
    return np.geomspace(low, high, _BINS + 1)


def _share(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of `values` in each bin; what lies outside counts in the first or last."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), bins=edges)
    return counts / len(values)


def latent_panel(evidence: Evidence) -> Panel:
    """KL of every latent dimension, the largest first."""

    def draw(axes: Axes, theme: Theme) -> None:
        for index, runs in enumerate(evidence.runs.values()):
            for run in runs:
                kl = sorted(run.scores.kl_per_dimension, reverse=True)
                ranks, colour = range(1, len(kl) + 1), theme.colour(index)
                axes.step(ranks, kl, where="mid", color=colour, **_weight(len(runs) > 1))
        longest = max(len(run.scores.kl_per_dimension) for run in evidence.all_runs)
        axes.set_xscale("log")
        axes.set_xlim(1, max(longest, 2))
        _plain_log_ticks(axes, "x", [1.0, float(max(longest, 2))])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("latent dimension, by rank")

    parts = [
        f"{run.variant} seed {run.seed}: {sum(kl > 0.1 for kl in run.scores.kl_per_dimension)} of "
        f"{len(run.scores.kl_per_dimension)} dimensions above 0.1 nats"
        for run in evidence.all_runs
    ]
    return Panel(
        key="kl_per_dimension",
        title="KL of each latent dimension, nats",
        alt=f"{'; '.join(parts)}.",
        draw=draw,
        size=WIDE_PANEL,
    )


def _choose_scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where the values span more than a factor of 5 and come to nothing nowhere."""
    if values and min(values) > 0 and 5 < max(values) / min(values) < _NOTHING:
        axes.set_yscale("log")
        _plain_log_ticks(axes, "y", values)
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        if len(set(values)) == 1:
            axes.set_yticks(values[:1])


def _plain_log_ticks(axes: Axes, which: str, values: Iterable[float]) -> None:
    """Ticks at 1, 10, 100 (and 2, 5 where there is room), as plain numbers."""
    low, high = min(values), max(values)
    subs = (1.0, 2.0, 5.0) if high / low < 150 else (1.0,)
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float, _position: int) -> str:
    return f"{value:g}".replace("-", MINUS)
