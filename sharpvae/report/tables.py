"""The tables of the report, as rows of text that the page and the Markdown both show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sharpvae.report.catalogue import GOAL_TEXT, MEANINGLESS_WHEN_COLLAPSED, METRICS, Metric
from sharpvae.report.differences import differences
from sharpvae.report.evidence import Evidence
from sharpvae.report.numerals import NOTHING, decimals, fixed, with_interval
from sharpvae.report.scores import Comparison, Estimate, Reference, distance, separate

Standing = Literal["", "best", "clear"]


@dataclass(frozen=True)
class Cell:
    """One value of the table of scores.

    Attributes:
        text: the mean.
        spread: "± half-width", or "" for a single seed.
        standing: "best" for the best mean, "clear" where the intervals separate it from all others.
        doubtful: whether the variant has collapsed, so that the value means nothing.
    """

    text: str
    spread: str = ""
    standing: Standing = ""
    doubtful: bool = False


@dataclass(frozen=True)
class ScoreRow:
    """One score: a cell for each variant and a text for each reference column."""

    metric: Metric
    goal: str
    cells: list[Cell]
    references: list[str]


@dataclass(frozen=True)
class ScoreTable:
    """All scores.

    Attributes:
        references: headings of the columns of real images, for scale.
        groups: heading -> rows.
    """

    variants: list[str]
    references: list[str]
    groups: dict[str, list[ScoreRow]]

    @property
    def any_doubtful(self) -> bool:
        """Whether a collapsed variant takes part."""
        return any(
            cell.doubtful for rows in self.groups.values() for row in rows for cell in row.cells
        )


@dataclass(frozen=True)
class Table:
    """A plain table. The first cell of each row is its heading.

    Attributes:
        numeric: indices of the columns that hold numbers.
    """

    head: list[str]
    rows: list[list[str]]
    numeric: set[int] = field(default_factory=set)


def standings(
    metric: Metric, estimates: Mapping[str, Estimate | None], places: int
) -> dict[str, Standing]:
    """Which of the estimates are best.

    Values that look the same with `places` digits share the mark; none has it if all are alike.
    """
    marks: dict[str, Standing] = dict.fromkeys(estimates, "")
    known = {name: found for name, found in estimates.items() if found is not None}
    if metric.goal == "none" or len(known) < 2:
        return marks
    far = {name: round(distance(e.mean, metric.goal), places) for name, e in known.items()}
    nearest = min(far.values())
    best = [name for name in known if far[name] == nearest]
    if len(best) == len(known):
        return marks
    for name in best:
        rivals = [other for other in known if other not in best]
        clear = all(separate(known[name], known[other], metric.goal) for other in rivals)
        marks[name] = "clear" if clear else "best"
    return marks


def score_table(comparison: Comparison, reference: Reference) -> ScoreTable:
    """All scores of all variants, with those of real images for scale."""
    groups: dict[str, list[ScoreRow]] = {}
    for metric in METRICS:
        if comparison.has(metric.key):
            groups.setdefault(metric.group, []).append(_score_row(metric, comparison, reference))
    blurred = f"blurred, \N{GREEK SMALL LETTER SIGMA} {reference.floors.blurred.sigma:g} px"
    return ScoreTable(
        comparison.variants, ["test set", "half of train", blurred, "mean image"], groups
    )


def _score_row(metric: Metric, comparison: Comparison, reference: Reference) -> ScoreRow:
    row = {name: comparison.estimates[name][metric.key] for name in comparison.variants}
    beside = _references(metric.key, reference)
    values = [estimate.mean for estimate in row.values() if estimate]
    values += [value for value in beside if value is not None]
    places = max(metric.places, decimals(values))
    doubtful = {
        name: metric.key in MEANINGLESS_WHEN_COLLAPSED and bool(comparison.collapsed(name))
        for name in row
    }
    marks = standings(metric, {n: None if doubtful[n] else e for n, e in row.items()}, places)
    cells = [
        Cell(*with_interval(estimate, places, metric.signed), marks[name], doubtful[name])
        if estimate
        else Cell(NOTHING)
        for name, estimate in row.items()
    ]
    references = ["" if value is None else fixed(value, places) for value in beside]
    return ScoreRow(metric, GOAL_TEXT[metric.goal], cells, references)


def _references(key: str, reference: Reference) -> list[float | None]:
    """The value of the test set itself, half of train, blurred test images and the mean image."""
    floors = (
        reference.floors.train_half,
        reference.floors.blurred,
        reference.floors.mean_image,
    )
    if key in ("brightness", "contrast", "minimum", "maximum"):
        return [float(getattr(reference, key)), None, None, None]
    if key in ("fid", "kid"):
        return [None, *(float(getattr(floor, key)) for floor in floors)]
    if key == "sharpness":
        return [1.0, *(floor.sharpness for floor in floors)]
    return [None] * 4


def difference_table(evidence: Evidence) -> Table:
    """The settings in which the variants differ."""
    found = differences(evidence.stage.variants)
    return Table(["Setting", *evidence.variants], [[row.key, *row.values] for row in found])
