"""The scores of all variants beside those of images with known faults, and the judges' opinions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sharpvae.report.comparison import Comparison
from sharpvae.report.evidence import Evidence
from sharpvae.report.numerals import NOTHING, decimals, fixed, join, short, with_interval
from sharpvae.report.scores import (
    BY_KEY,
    GOAL_TEXT,
    HEADLINE,
    MEANINGLESS_WHEN_COLLAPSED,
    METRICS,
    OF_GIVEN,
    TABLE,
    Metric,
    distance,
)
from sharpvae.report.tables import Table

SIGHTS = {"fooled": "\N{DAGGER}", "blind": "\N{DOUBLE DAGGER}"}


class Cell(NamedTuple):
    """One variant's value."""

    text: str
    spread: str = ""  # "± half-width"
    validation: str = ""  # the same score of the validation split
    best: bool = False
    change: str = ""  # "better" or "worse" than the baseline, where that is shown
    doubtful: bool = False  # whether the variant has collapsed, so that the value means nothing


class Floor(NamedTuple):
    """What images of a known fault score."""

    text: str
    sight: str = ""  # "fooled" or "blind"


class ScoreRow(NamedTuple):
    """One score."""

    metric: Metric
    goal: str
    cells: list[Cell]
    floors: list[Floor]


class ScoreTable(NamedTuple):
    """`groups` has rows by heading; `missing` says which scores are absent and why."""

    variants: list[str]
    floors: list[str]
    groups: dict[str, list[ScoreRow]]
    missing: list[str]

    @property
    def any_doubtful(self) -> bool:
        """Whether a collapsed variant takes part."""
        rows = (row for group in self.groups.values() for row in group)
        return any(cell.doubtful for row in rows for cell in row.cells)


def headline_table(comparison: Comparison, evidence: Evidence) -> ScoreTable:
    """The scores in which variants are compared with the baseline."""
    keys = (*TABLE, *OF_GIVEN) if comparison.elsewhere else TABLE
    return _table(comparison, evidence, {"": [BY_KEY[k] for k in keys if comparison.has(k)]})


def every_table(comparison: Comparison) -> Table | None:
    """The headline scores, a row for each variant, where there are more than are shown."""
    names = comparison.ranked
    if len(names) == len(comparison.variants):
        return None
    metrics = [BY_KEY[key] for key in TABLE if comparison.has(key)]
    columns = [
        [f"{c.text} {'collapsed' if c.doubtful else c.change}".rstrip() for c in cells]
        for cells in (_cells(metric, comparison, names) for metric in metrics)
    ]
    rows = [[*row] for row in zip(names, *columns, strict=True)]
    goals = [GOAL_TEXT[m.goal].removeprefix("lower ").removeprefix("higher ") for m in metrics]
    heads = [f"{metric.name} {goal}" for metric, goal in zip(metrics, goals, strict=True)]
    return Table(["Variant", *heads], rows, set(range(1, len(heads) + 1)))


def score_table(comparison: Comparison, evidence: Evidence) -> ScoreTable:
    """All other scores, by the images they are of."""
    groups: dict[str, list[Metric]] = {}
    for metric in METRICS:
        told = metric.key in TABLE or (comparison.elsewhere and metric.key in OF_GIVEN)
        if not told and comparison.has(metric.key):
            groups.setdefault(metric.group, []).append(metric)
    return _table(comparison, evidence, groups)


def _table(
    comparison: Comparison, evidence: Evidence, groups: Mapping[str, list[Metric]]
) -> ScoreTable:
    rows = {
        heading: [_row(metric, comparison, evidence) for metric in metrics]
        for heading, metrics in groups.items()
    }
    missing = [
        f"{metric.name} of {name}: {why}"
        for metrics in groups.values()
        for metric in metrics
        for name in comparison.variants
        if (why := comparison.reason(name, metric.key))
    ]
    return ScoreTable(comparison.variants, list(evidence.floors), rows, missing)


def _row(metric: Metric, comparison: Comparison, evidence: Evidence) -> ScoreRow:
    cells = _cells(metric, comparison, comparison.variants)
    return ScoreRow(metric, GOAL_TEXT[metric.goal], cells, _floors(metric, evidence))


def _cells(metric: Metric, comparison: Comparison, names: Sequence[str]) -> list[Cell]:
    """One score of some variants."""
    means = {name: comparison.mean(name, metric.key) for name in names}
    places = max(metric.places, decimals(value for value in means.values() if value is not None))
    fragile = metric.base in MEANINGLESS_WHEN_COLLAPSED
    doubtful = {name for name in means if fragile and comparison.collapsed(name)}
    best = best_of(metric, {n: v for n, v in means.items() if n not in doubtful}, places)
    cells = []
    for name in names:
        estimate = comparison.estimate(name, metric.key)
        if estimate is None:
            cells.append(Cell(NOTHING))
            continue
        alone = name in comparison.elsewhere and (comparison.given or len(comparison.seeds) > 1)
        source = "images" if alone else "seeds"
        text, spread = with_interval(estimate, places, metric.signed, source)
        unseen = comparison.runs[name][0].validation.get(metric.key)
        validation = "" if unseen is None else fixed(unseen, places, metric.signed)
        change = comparison.change(name, metric.key)
        shown = "" if change == "no difference shown" or name in doubtful else change
        cells.append(Cell(text, spread, validation, name in best, shown, name in doubtful))
    return cells


def _floors(metric: Metric, evidence: Evidence) -> list[Floor]:
    """Of the first row of a score only: those of mixture and reconstructions are the same."""
    if metric.base != metric.key:
        return [Floor("") for _ in evidence.floors]
    seen = evidence.reference.faults.get(metric.key, {})
    found = []
    for name, scores in evidence.floors.items():
        value = scores.get(metric.key)
        absent = NOTHING if metric.key in scores else ""
        found.append(Floor(absent if value is None else short(value), seen.get(name, "")))
    return found


def best_of(metric: Metric, means: Mapping[str, float | None], places: int) -> list[str]:
    """The variants with the best mean, with `places` digits: several if equal, none if all are."""
    known = {name: value for name, value in means.items() if value is not None}
    if metric.goal == "none" or len(known) < 2:
        return []
    far = {name: round(distance(value, metric.goal), places) for name, value in known.items()}
    best = [name for name in known if far[name] == min(far.values())]
    return [] if len(best) == len(known) else best


def judge_table(comparison: Comparison, evidence: Evidence) -> Table:
    """What each judge of the panel says of the headline samples, and how it orders variants."""
    rows = []
    for name, entry in evidence.reference.judges.items():
        found = judged(comparison, name)
        cells = [short(found[v]) if v in found else NOTHING for v in comparison.variants]
        weight = f"{entry.weight:g}" + (f": {entry.why}" if entry.why else "")
        rows.append([name, *cells, ", ".join(order(found)), weight])
    head = ["Judge", *comparison.variants, "Order, best first", "Weight"]
    return Table(head, rows, set(range(1, len(comparison.variants) + 1)))


def judged(comparison: Comparison, judge: str) -> dict[str, float]:
    """Variant -> one judge's distance of its samples, the mean over the seeds."""
    found = {}
    for variant in comparison.variants:
        own = [run.judges.get("fid", {}).get(judge) for run in comparison.runs[variant]]
        known = [value for value in own if value is not None]
        if known:
            found[variant] = sum(known) / len(known)
    return found


def order(distances: Mapping[str, float]) -> list[str]:
    """Variants, the nearest to real images first."""
    return sorted(distances, key=lambda name: distances[name])


def agreement(comparison: Comparison, evidence: Evidence) -> str:
    """Whether the judges with a weight order the variants alike, in words."""
    if len(comparison.variants) < 2:
        return ""
    orders: dict[tuple[str, ...], list[str]] = {}
    for name, weight in comparison.weights.items():
        if weight > 0:
            orders.setdefault(tuple(order(judged(comparison, name))), []).append(name)
    told = {names: join(judges) for names, judges in orders.items() if names}
    if len(told) < 2:
        return "" if not told else f"The judges agree: {', '.join(next(iter(told)))}, best first."
    parts = [f"{judges}: {', '.join(names)}" for names, judges in told.items()]
    return f"The judges disagree on the order. Best first, by {'; by '.join(parts)}."


def headline_metrics(comparison: Comparison) -> dict[str, dict[str, float | None]]:
    """What reports/metrics.json holds: means, and as `<name>_ci` half-widths of intervals."""
    table: dict[str, dict[str, float | None]] = {name: {} for name in comparison.runs}
    for variant, row in table.items():
        asked = set().union(*(run.scores for run in comparison.runs[variant]))
        for key in filter(comparison.has, HEADLINE):
            if key not in asked:
                continue
            estimate = comparison.estimate(variant, key)
            row[key] = _significant(estimate.centre if estimate else None)
            if len(comparison.seeds) > 1:
                row[f"{key}_ci"] = _significant(estimate.half_width if estimate else None)
    return table


def _significant(value: float | None) -> float | None:
    """Six significant digits, for readable diffs."""
    return None if value is None else float(f"{value:.6g}") + 0.0  # -0.0 + 0.0 is 0.0
