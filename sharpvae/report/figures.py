"""Charts of trainings, sharpness and latent space."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import Circle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from sharpvae.report.canvas import SQUARE_PANEL, WIDE_PANEL, Panel
from sharpvae.report.evidence import Codes, Evidence, ScoredRun
from sharpvae.report.numerals import MINUS
from sharpvae.report.scores import RECONSTRUCTION, SAMPLES
from sharpvae.report.theme import Theme

_BINS = 48
_LINE: dict[str, Any] = {"lw": 1.5}
_THIN: dict[str, Any] = {"lw": 1.0, "alpha": 0.8}  # where every variant has several lines
_FINE = 0.25  # cycles per pixel
_LOG_SPAN = 1e5  # of a logarithmic axis at most: beyond it, as a cosine's end, a value counts as 0
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
    order = {term: place for place, term in enumerate(_TERMS)}
    seen = {
        (record.split == "schedule", order.get(record.term, len(order)), record.term)
        for runs in evidence.shown.values()
        for run in runs
        for record in run.history
    }
    return [_curve_panel(evidence, term, schedule) for schedule, _, term in sorted(seen)]


def _curve_panel(evidence: Evidence, term: str, schedule: bool) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        values: list[float] = []
        for index, runs in enumerate(evidence.shown.values()):
            # schedules often coincide: later variants get thinner lines, so that all are seen
            wide = {"lw": 1.3 + 4.4 * (1 - (index + 1) / len(evidence.variants))}
            weight = wide if schedule else _THIN if len(runs) > 1 else _LINE
            for run in runs:
                values += _draw_run(axes, run, term, schedule, theme.colour(index), weight)
        _choose_scale(axes, values)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))

    title, ends = _TERMS.get(term, term), []
    for run in chain.from_iterable(evidence.shown.values()):
        values = [r.value for r in run.history if r.term == term and r.split != "train"]
        if values:
            ends.append(f"{run.variant} seed {run.seed} ends at {values[-1]:.4g}")
    return Panel(title, f"{title}, by epoch: {'; '.join(ends)}.", draw)


def _draw_run(
    axes: Axes, run: ScoredRun, term: str, schedule: bool, colour: str, weight: dict[str, Any]
) -> list[float]:
    """Train dashed, validation solid with a dot where earlier weights were kept."""
    drawn: list[float] = []
    for split in ["schedule"] if schedule else ["train", "validation"]:
        records = [r for r in run.history if r.split == split and r.term == term]
        if not records:
            continue
        epochs, values = [r.epoch for r in records], [r.value for r in records]
        marker, dashes = "." if len(records) == 1 else "", "--" if split == "train" else "-"
        axes.plot(epochs, values, dashes, color=colour, marker=marker, **weight)
        summary = run.training and run.training.summary
        if split == "validation" and summary and summary.kept == "best":
            kept = [r for r in records if r.epoch == summary.kept_epoch]
            axes.plot([r.epoch for r in kept], [r.value for r in kept], "o", color=colour, ms=4)
        drawn += values
    return drawn


def sharpness_panels(evidence: Evidence) -> list[Panel]:
    """Histograms of the sharpness of single images: of samples, and of reconstructions."""
    samples = {
        name: np.concatenate([run.headline_sharpness for run in runs])
        for name, runs in evidence.shown.items()
    }
    known = {
        name: [own for run in runs if (own := run.reconstruction_sharpness) is not None]
        for name, runs in evidence.shown.items()
    }
    again = {name: np.concatenate(own) for name, own in known.items() if own}
    panels = [_sharpness_panel(evidence, samples, SAMPLES)]
    return [*panels, _sharpness_panel(evidence, again, RECONSTRUCTION)] if again else panels


def _sharpness_panel(
    evidence: Evidence, fakes: Mapping[str, NDArray[np.float64]], title: str
) -> Panel:
    real, places = np.array(evidence.reference.sharpness_per_image), evidence.variants.index
    edges = _log_edges([real, *fakes.values()])

    def draw(axes: Axes, theme: Theme) -> None:
        heights = _share(real, edges)
        axes.stairs(heights, edges, fill=True, color=theme.real, alpha=0.45, lw=0)
        top = heights.max()
        for name, values in fakes.items():
            shares = _share(values, edges)
            axes.stairs(shares, edges, color=theme.colour(places(name)), lw=1.4)
            top = max(top, min(shares.max(), 2.5 * heights.max()))
        # a collapsed model's images are all alike: its one tall bar would flatten all others
        axes.set_ylim(0, 1.12 * top)
        colours = [theme.real, *(theme.colour(places(name)) for name in fakes)]
        for colour, values in zip(colours, [real, *fakes.values()], strict=True):
            mean = min(max(values.mean(), edges[0]), edges[-1])
            axes.plot(mean, 1.12 * top, "v", color=colour, ms=7, clip_on=False, zorder=5)
        axes.set_xscale("log")
        axes.set_xlim(edges[0], edges[-1])
        _plain_log_ticks(axes.xaxis, edges)
        axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
        axes.set_xlabel("Laplacian variance of an image")
        axes.set_ylabel("share of images")

    means = [f"{name} {values.mean():.4g}" for name, values in fakes.items()]
    alt = f"Sharpness of single images. {title}: means are {', '.join(means)}; real test images "
    return Panel(title, f"{alt}{real.mean():.4g}.", draw, WIDE_PANEL)


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


def spectrum_panel(evidence: Evidence) -> Panel:
    """Radial power of real images, of each variant's samples, and of real images blurred."""
    power = evidence.reference.power
    frequency, real = power.get("frequency") or [], power.get("test") or []
    blurred = power.get("blur_1") or []
    ours = {
        name: own
        for name, runs in evidence.shown.items()
        if (own := runs[0].scores.power["headline"])
    }

    def draw(axes: Axes, theme: Theme) -> None:
        if real:
            axes.plot(frequency, real, color=theme.real, lw=5, alpha=0.5)
        if blurred:
            axes.plot(frequency, blurred, "--", color=theme.quiet, lw=1.2)
        for index, name in enumerate(evidence.shown):
            if name in ours:
                axes.plot(frequency, ours[name], color=theme.colour(index), **_LINE)
        axes.set_yscale("log")
        axes.set_xlabel("cycles per pixel")
        axes.set_ylabel("power")

    places = [i for i, f in enumerate(frequency) if f >= _FINE]  # detail of a few pixels
    parts = []
    for name, own in {**ours, "real images blurred by 1 px": blurred}.items():
        if own and real:
            share = sum(own[i] for i in places) / max(sum(real[i] for i in places), 1e-12)
            parts.append(f"{name} {100 * share:.3g} %")
    alt = "Radial power spectra of samples and real images. Power of fine detail, of the real "
    return Panel("Power by frequency", f"{alt}images': {', '.join(parts)}.", draw, WIDE_PANEL)


def latent_panels(evidence: Evidence) -> list[Panel]:
    """KL of every latent dimension, the largest first; none where no codes are known."""
    runs = [run for own in evidence.shown.values() for run in own if run.scores.kl_per_dimension]
    return [_latent_panel(evidence.variants, runs)] if runs else []


def _latent_panel(variants: Sequence[str], runs: Sequence[ScoredRun]) -> Panel:
    weight = _THIN if len(runs) > len({run.variant for run in runs}) else _LINE

    def draw(axes: Axes, theme: Theme) -> None:
        for run in runs:
            kl = sorted(run.scores.kl_per_dimension, reverse=True)
            colour = theme.colour(variants.index(run.variant))
            axes.step(range(1, len(kl) + 1), kl, where="mid", color=colour, **weight)
        longest = max(len(run.scores.kl_per_dimension) for run in runs)
        axes.set_xscale("log")
        axes.set_xlim(1, max(longest, 2))
        _plain_log_ticks(axes.xaxis, [1.0, float(max(longest, 2))])
        axes.set_ylim(bottom=0)
        axes.set_xlabel("latent dimension, by rank")

    parts = []
    for run in runs:
        kl = run.scores.kl_per_dimension
        above = sum(value > 0.1 for value in kl)
        parts.append(
            f"{run.variant} seed {run.seed}: {above} of {len(kl)} dimensions above 0.1 nats"
        )
    return Panel("KL of each latent dimension, nats", f"{'; '.join(parts)}.", draw, WIDE_PANEL)


def code_panels(evidence: Evidence) -> list[Panel]:
    """Codes of test images along the two principal axes of strongest signal, by variant."""
    clouds = {name: _cloud(codes) for name, codes in evidence.codes.items()}
    reach = 1.05 * max([3.0, *(float(np.abs(cloud).max()) for cloud in clouds.values())])
    places = evidence.variants.index
    return [_code_panel(name, cloud, places(name), reach) for name, cloud in clouds.items()]


def _cloud(codes: Codes) -> NDArray[np.float64]:
    """A draw from each posterior, [N, 2], which all together the prior should fill."""
    mean, deviation = codes.mean.astype(np.float64), np.exp(codes.log_var.astype(np.float64) / 2)
    _, axes = np.linalg.eigh(np.cov(mean.T, bias=True).reshape(2 * mean.shape[1:]))
    noise = np.random.default_rng(0).standard_normal(mean.shape)
    drawn = (mean + deviation * noise) @ axes[:, :-3:-1]
    # a single latent dimension has a single axis
    return np.pad(drawn, ((0, 0), (0, 2 - drawn.shape[1])))


def _code_panel(name: str, cloud: NDArray[np.float64], index: int, reach: float) -> Panel:
    def draw(axes: Axes, theme: Theme) -> None:
        axes.plot(*cloud.T, ".", color=theme.colour(index), ms=3.5, alpha=0.6, mew=0)
        for radius in (1, 2, 3):
            axes.add_patch(Circle((0, 0), radius, fill=False, ec=theme.quiet, ls="--", lw=0.9))
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set(xlabel="first axis", ylabel="second axis")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True, nbins=8))

    spread = cloud.std(axis=0)
    alt = (
        f"Codes of test images by {name} along its two strongest axes, with standard deviations "
        f"{spread[0]:.2f} and {spread[1]:.2f}; the prior's are 1."
    )
    return Panel(name, alt, draw, SQUARE_PANEL)


def _choose_scale(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic where the values are positive and span more than a factor of 5."""
    if values and min(values) > 0 and 5 < max(values) / min(values) < _LOG_SPAN:
        axes.set_yscale("log")
        _plain_log_ticks(axes.yaxis, values)
    else:
        axes.yaxis.set_major_formatter(FuncFormatter(_plain))
        if len(set(values)) == 1:
            axes.set_yticks(values[:1])


def _plain_log_ticks(axis: Axis, values: Iterable[float]) -> None:
    """Ticks at 1, 10, 100 (and 2, 5 where there is room), as plain numbers."""
    low, high = min(values), max(values)
    subs = (1.0, 2.0, 5.0) if high / low < 150 else (1.0,)
    axis.set_major_locator(LogLocator(subs=subs, numticks=9))
    axis.set_major_formatter(FuncFormatter(_plain))
    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float, _position: int) -> str:
    return f"{value:g}".replace("-", MINUS)
