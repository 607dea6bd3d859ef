"""What a search found: the best trials, which settings mattered, and how that looks."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from optuna.importance import FanovaImportanceEvaluator, get_param_importances

from sharpvae.config.tune import Range
from sharpvae.core.files import copy_file, write_text
from sharpvae.report.canvas import Panel, render_sheet
from sharpvae.report.numerals import short
from sharpvae.report.page import chart, escape, markdown_table, template, typographic
from sharpvae.report.scores import BY_KEY
from sharpvae.report.tables import Table
from sharpvae.report.theme import LIGHT, Theme
from sharpvae.tune.search import study
from sharpvae.tune.space import OBJECTIVES, Space, command, text
from sharpvae.tune.trial import Record

PAGE, TEXT, ROWS, PICTURE = "tune.html", "tune.md", "trials.csv", "tune.png"
FEWEST = 6  # finished trials of which the importance of settings is told
_WIDE = (9.2, 3.6)  # inches


class Results(NamedTuple):
    """All trials of a search, and the space they are from."""

    space: Space
    records: list[Record]

    @property
    def done(self) -> list[Record]:
        """Those that were trained and scored to the end."""
        return [record for record in self.records if record.status == "done"]

    @property
    def names(self) -> list[str]:
        """The objectives."""
        return self.space.config.objectives

    def losses(self, record: Record) -> list[float]:
        """The objectives of a trial, less being better."""
        return [
            (-1.0 if OBJECTIVES[name] else 1.0) * record.scores.get(name, math.inf)
            for name in self.names
        ]


def front(results: Results) -> list[Record]:
    """The trials that no other one beats in all objectives, the best in the first one leading."""
    losses = {record.number: results.losses(record) for record in results.done}

    def beaten(own: Sequence[float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, own, strict=True)) and other != own
            for other in losses.values()
        )

    kept = [record for record in results.done if not beaten(losses[record.number])]
    return sorted(kept, key=lambda record: (losses[record.number], record.number))


def importance(results: Results) -> dict[str, float] | None:
    """Setting -> its share of the variance of the first objective; None for too few trials.

    Functional ANOVA on a random forest (Hutter, Hoos & Leyton-Brown 2014), as Optuna computes it.
    """
    if len(results.done) < FEWEST:
        return None
    known = [record for record in results.done if math.isfinite(results.losses(record)[0])]
    if len({results.losses(record)[0] for record in known}) < 2:
        return None
    return get_param_importances(
        study(results.space, known),
        evaluator=FanovaImportanceEvaluator(seed=0),
        target=lambda trial: trial.values[0],
    )


def trial_table(results: Results, records: Sequence[Record]) -> Table:
    """A row for each trial: scores, settings, how far it came."""
    keys = list(results.space.config.space)
    head = ["Trial", *(BY_KEY[name].label for name in results.names), *keys, "Ended", "Seconds"]
    lines = []
    for record in records:
        scores = [short(record.scores[n]) if n in record.scores else "" for n in results.names]
        ended = (
            record.status if record.status == "done" else f"{record.status}, {record.progress} %"
        )
        settings = [text(record.values[key]) for key in keys]
        lines.append([
            str(record.number), *scores, *settings, ended, f"{record.seconds:.0f}"
        ])  # fmt: skip
    numeric = {0, *range(1, len(results.names) + 1), len(head) - 1}
    return Table(head, lines, numeric)


def history_panel(results: Results) -> Panel:
    """The first objective of every trial in its order, and the best so far."""
    name = results.names[0]
    label = BY_KEY[name].label

    def draw(axes: Axes, theme: Theme) -> None:
        best, steps = math.inf, []
        for record in results.done:
            best = min(best, results.losses(record)[0])
            steps.append((record.number, abs(best)))
        for status, marker in (("done", "o"), ("stopped", "x")):
            shown = [r for r in results.records if r.status == status and name in r.scores]
            colour = theme.colour(1) if status == "done" else theme.quiet
            axes.plot(
                [r.number for r in shown], [r.scores[name] for r in shown], marker, color=colour,
                ms=4, mew=1.2,
            )  # fmt: skip
        if steps:
            axes.step(*zip(*steps, strict=True), where="post", color=theme.colour(0), lw=1.4)
        if name in ("fid", "kid") and steps:
            axes.set_yscale("log")
        axes.set_xlabel("trial")
        axes.set_ylabel(f"{label}, validation")

    title = f"{label} of every trial"
    alt = (
        f"{title}; circles were trained to the end, crosses given up; the line is the best so far."
    )
    return Panel(title, alt, draw)


def front_panel(results: Results) -> Panel:
    """Two objectives against each other."""
    labels = [BY_KEY[name].label for name in results.names]
    kept = front(results)

    def draw(axes: Axes, theme: Theme) -> None:
        points = np.array(
            [[r.scores.get(n, math.nan) for n in results.names] for r in results.done]
        )
        axes.plot(points[:, 0], points[:, 1], "o", color=theme.quiet, ms=4)
        best = [[record.scores.get(name, math.nan) for name in results.names] for record in kept]
        axes.plot(*zip(*best, strict=True), "o-", color=theme.colour(1), ms=5, lw=1.0)
        for record, (x, y) in zip(kept, best, strict=True):
            axes.annotate(
                str(record.number), (x, y), (4, 4), textcoords="offset points", fontsize=7,
                color=theme.ink,
            )  # fmt: skip
        if results.names[0] in ("fid", "kid"):
            axes.set_xscale("log")
        axes.set_xlabel(labels[0])
        axes.set_ylabel(labels[1])

    title = f"{labels[0]} against {labels[1]}"
    told = ", ".join(str(record.number) for record in kept)
    return Panel(title, f"{title}: no trial beats {told} in both.", draw)


def importance_panel(shares: Mapping[str, float]) -> Panel:
    """How much of the first objective each setting decides."""
    names = sorted(shares, key=lambda name: shares[name])

    def draw(axes: Axes, theme: Theme) -> None:
        axes.barh(names, [100 * shares[name] for name in names], 0.6, color=theme.colour(1))
        axes.tick_params(axis="y", labelsize=6)
        axes.set_xlabel("% of the variance")

    parts = ", ".join(f"{name} {100 * shares[name]:.0f} %" for name in reversed(names))
    return Panel("Which settings decide", f"Which settings decide: {parts}.", draw)


def parallel_panel(results: Results) -> Panel:
    """A line for each finished trial through its settings to the first objective."""
    config, name = results.space.config, results.names[0]
    keys = list(config.space)
    ranked = sorted(results.done, key=lambda record: results.losses(record)[0], reverse=True)

    def draw(axes: Axes, theme: Theme) -> None:
        best = {record.number for record in front(results)}
        for record in ranked:
            heights = [_height(config.space[key], record.values[key]) for key in keys]
            rank = ranked.index(record) / (len(ranked) - 1)
            first = record.number in best
            axes.plot(
                range(len(keys) + 1), [*heights, rank],
                color=theme.colour(0) if first else theme.quiet,
                alpha=1.0 if first else 0.35, lw=1.6 if first else 0.8,
            )  # fmt: skip
        for place, key in enumerate(keys):
            low, high = _bounds(config.space[key])
            axes.axvline(place, color=theme.rule, lw=0.8, zorder=0)
            for height, word in ((-0.03, low), (1.03, high)):
                axes.text(
                    place, height, word, ha="center", va="top" if height < 0 else "bottom",
                    fontsize=7, color=theme.ink,
                )  # fmt: skip
        axes.set_xticks(range(len(keys) + 1), [*keys, f"rank by {BY_KEY[name].label}"], fontsize=7)
        axes.tick_params(axis="x", pad=12)
        axes.set_yticks([])
        axes.set_ylim(-0.08, 1.1)

    title = "Settings of every finished trial"
    alt = f"{title}, the best ones coloured; the last axis is the rank by {BY_KEY[name].label}."
    return Panel(title, alt, draw, _WIDE)


def _height(values: Range | list[Any], value: Any) -> float:
    """Where a setting lies between the ends of its range, in [0, 1]."""
    if isinstance(values, list):
        return values.index(value) / (len(values) - 1)
    ends: list[float] = [values.low, values.high, value]
    if values.log:
        ends = [math.log(end) for end in ends]
    return (ends[2] - ends[0]) / (ends[1] - ends[0])


def _bounds(values: Range | list[Any]) -> tuple[str, str]:
    if isinstance(values, list):
        return text(values[0]), text(values[-1])
    return short(values.low), short(values.high)


def sentence(results: Results) -> str:
    """The outcome in a sentence."""
    count, done = len(results.records), len(results.done)
    given_up = sum(record.status == "stopped" for record in results.records)
    failed = sum(record.status == "failed" for record in results.records)
    cut_off = sum(record.status == "running" for record in results.records)
    told = f"Of {count} trials {done} were trained to the end and {given_up} given up early"
    told += f"; {failed} failed" if failed else ""
    told += f"; {cut_off} cut off, which --resume goes on with." if cut_off else "."
    kept = front(results)
    if not kept:
        return told
    best = kept[0]
    scores = ", ".join(_said(name, best) for name in results.names if name in best.scores)
    told += f" The best, trial {best.number}: {scores} on validation images"
    if len(kept) > 1:
        others = ", ".join(str(record.number) for record in kept[1:])
        told += f"; with less of the one and more of the other: {others}"
    return f"{told}. One seed is an observation: train it with three before you believe it."


def _said(name: str, record: Record) -> str:
    """`FID 12` or `blur 0.3 px`."""
    label, _, unit = BY_KEY[name].label.partition(", ")
    word = label if label.isupper() else label.lower()
    return f"{word} {short(record.scores[name])} {unit}".rstrip()


def write(results: Results, folder: Path) -> None:
    """Write tune.html, .md, .png and trials.csv, each in the place of the last one."""
    shares, kept = importance(results), front(results)
    panels = [history_panel(results)]
    if len(results.names) > 1 and kept:
        panels.append(front_panel(results))
    if shares:
        panels.append(importance_panel(shares))
    wide = parallel_panel(results) if len(results.done) > 1 else None
    best = (
        command(results.space.params, results.space.config.variant, kept[0].values) if kept else ""
    )
    page = template("tune.html", Path(__file__).parent / "templates").render(
        title=f"Search for {results.space.config.variant}",
        config=results.space.config, sentence=typographic(sentence(results)), command=best,
        panels=list(map(chart, panels)), parallel=None if wide is None else chart(wide),
        front=trial_table(results, kept), trials=trial_table(results, results.records),
        seed=results.space.training,
    )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / PAGE, page)
    write_text(folder / TEXT, _markdown(results, kept, best))
    write_text(folder / ROWS, _rows(results))
    unfinished = folder / f".{PICTURE}.new"
    unfinished.write_bytes(render_sheet(panels, [], LIGHT, {}))
    copy_file(unfinished, folder / PICTURE)
    unfinished.unlink()


def _markdown(results: Results, kept: Sequence[Record], best: str) -> str:
    table = trial_table(results, kept)
    lines = [list(map(escape, row)) for row in (table.head, *table.rows)]
    blocks = [
        f"# Search for {escape(results.space.config.variant)}", f"**{escape(sentence(results))}**",
        f"![{escape(results.names[0])} of every trial]({PICTURE})",
        markdown_table(lines, table.numeric), *([f"```sh\n{best}\n```"] if best else []),
    ]  # fmt: skip
    return "\n\n".join(blocks) + "\n"


def _rows(results: Results) -> str:
    keys = list(results.space.config.space)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["trial", "status", "progress", *results.names, *keys, "seconds", "why"])
    for record in results.records:
        scores = [f"{record.scores[n]:.6g}" if n in record.scores else "" for n in results.names]
        settings = [text(record.values[key]) for key in keys]
        writer.writerow([
            record.number, record.status, record.progress, *scores, *settings, record.seconds,
            record.why,
        ])  # fmt: skip
    return buffer.getvalue()
