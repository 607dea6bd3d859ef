"""The waterfall of an ablation, and the pairs of factors that need each other."""

from __future__ import annotations

import math

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from sharpvae.proof.effects import (
    Effects,
    Interaction,
    Measure,
    Results,
    number,
    size,
    told,
    verdict,
)
from sharpvae.report.canvas import Panel
from sharpvae.report.numerals import MINUS, short
from sharpvae.report.statistics import Effect
from sharpvae.report.theme import Theme

WATERFALL = (9.2, 3.7)  # inches
SQUARE = (3.0, 2.6)


def waterfall_panel(results: Results, effects: Effects) -> Panel:
    """From the first variant to the second: a bar for the share of each factor."""
    plan, measure = results.plan, effects.measure
    ends = [results.level(name, measure.key).centre for name in plan.ends]
    shares = {n: own.share for n, own in effects.factors.items() if own.share is not None}
    order = sorted(shares, key=lambda name: size(shares[name]) * -(measure.better or 1))

    def moved(value: float, by: float) -> float:
        return value * math.exp(by) if measure.ratio else value + by

    def draw(axes: Axes, theme: Theme) -> None:
        if measure.ratio:
            axes.set_yscale("log")
            _log_ticks(axes)
        axes.use_sticky_edges = False
        axes.margins(y=0.14)
        _end_bar(axes, 0, ends[0], theme)
        whiskers: list[tuple[float, float, float]] = []
        value = ends[0]
        for place, name in enumerate(order, start=1):
            effect, before = shares[name], value
            value = moved(before, size(effect))
            colour = theme.colour(1 if size(effect) * measure.better > 0 else 0)
            pale = 0.35 if verdict(effect, measure) == "no difference shown" else 1.0
            axes.bar(place, value - before, 0.62, before, color=colour, alpha=pale, linewidth=0)
            axes.plot([place - 0.31, place + 1.31], [value, value], color=theme.quiet, lw=0.7)
            if (reach := _reach(effect)) is not None:
                whiskers.append((place + 0.2, moved(before, reach[0]), moved(before, reach[1])))
            _label(axes, place, max(before, value), number(effect.estimate, measure.ratio), theme)
        _end_bar(axes, len(order) + 1, ends[1], theme)
        axes.set_ylim(axes.get_ylim())  # what the bars take; a whisker may end beyond
        for middle, low, high in whiskers:
            axes.plot([middle, middle], [low, high], color=theme.ink, lw=1.0)
        names = [plan.ablation.start, *order, plan.ablation.end]
        axes.set_xticks(range(len(names)), [_broken(name) for name in names], fontsize=8)
        axes.set_xlim(-0.6, len(names) - 0.4)
        axes.set_ylabel(f"{measure.label} of headline samples")

    title = f"What each factor brings to the {measure.label}"
    parts = [f"{name} {told(shares[name])}" for name in order]
    alt = f"{title}: from {short(ends[0])} over {'; '.join(parts)} to {short(ends[1])}."
    return Panel(title, alt, draw, WATERFALL)


def _reach(effect: Effect) -> tuple[float, float] | None:
    """The 95 % interval on the scale on which effects add up, if it has ends."""
    if effect.low is None or effect.high is None or not math.isfinite(effect.high - effect.low):
        return None
    if effect.kind == "ratio":
        return math.log(max(effect.low, 1e-12)), math.log(effect.high)
    return effect.low, effect.high


def _end_bar(axes: Axes, place: int, value: float, theme: Theme) -> None:
    axes.plot([place - 0.31, place + 0.31], [value, value], color=theme.ink, lw=2.4)
    if place == 0:
        axes.plot([place + 0.31, place + 1.31], [value, value], color=theme.quiet, lw=0.7)
    _label(axes, place, value, short(value), theme, bold=True)


def _label(
    axes: Axes, place: int, value: float, text: str, theme: Theme, bold: bool = False
) -> None:
    axes.annotate(
        text, (place, value), xytext=(0, 4), textcoords="offset points", ha="center",
        fontsize=9 if bold else 8, fontweight="bold" if bold else "normal", color=theme.ink,
    )  # fmt: skip


def _broken(name: str) -> str:
    """A name that is long on two lines."""
    for mark in ("-", "_"):
        if len(name) > 10 and mark in name:
            head, _, tail = name.partition(mark)
            return f"{head}\n{tail}"
    return name


def _log_ticks(axes: Axes) -> None:
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}".replace("-", MINUS)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())


def interaction_panel(results: Results, interaction: Interaction, measure: Measure) -> Panel:
    """The mean score with neither, one or both of two factors on, over all other settings."""
    first, second = interaction.pairs[0]
    means = {}
    for pair in ((False, False), (True, False), (False, True), (True, True)):
        arms = [
            name
            for name in results.plan.mixed
            if tuple(factor in results.plan.arms[name].on for factor in (first, second)) == pair
        ]
        values = [results.level(name, measure.key).centre for name in arms]
        means[pair] = math.exp(sum(map(math.log, values)) / len(values))

    def draw(axes: Axes, theme: Theme) -> None:
        axes.set_yscale("log")
        for index, on in enumerate((False, True)):
            ends = [means[False, on], means[True, on]]
            axes.plot([0, 1], ends, "o-", color=theme.colour(index), lw=1.6, ms=4)
            above = ends[1] >= means[True, not on]
            axes.annotate(
                f"{'with' if on else 'without'}\n{second}", (1, ends[1]),
                xytext=(8, 2 if above else -2), textcoords="offset points",
                va="bottom" if above else "top", fontsize=8, color=theme.colour(index),
            )  # fmt: skip
        axes.set_xticks([0, 1], [f"without\n{first}", f"with\n{first}"], fontsize=8)
        axes.set_xlim(-0.25, 1.75)
        axes.margins(y=0.3)
        _log_ticks(axes)

    title = f"{first} and {second}"
    levels = ", ".join(
        f"{short(value)} {'with' if a else 'without'} {first} and {'with' if b else 'without'} "
        f"{second}"
        for (a, b), value in means.items()
    )
    return Panel(title, f"{measure.label}, mean over all other settings: {levels}.", draw, SQUARE)
