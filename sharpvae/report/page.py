"""The report as one page, as Markdown, and as files that DVC compares."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Container, Sequence
from pathlib import Path
from typing import NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from sharpvae.core.config import GIVEN
from sharpvae.core.errors import visible
from sharpvae.core.files import fresh_directory, write_text
from sharpvae.report import figures, scoretable, tables
from sharpvae.report.canvas import Panel, inline, render_sheet
from sharpvae.report.comparison import Comparison
from sharpvae.report.diagnosis import Finding, diagnose
from sharpvae.report.evidence import REAL, Evidence, Images
from sharpvae.report.numerals import join
from sharpvae.report.pictures import EmbeddedImage, Lay, embedded, grids, pairs, sheet, strip
from sharpvae.report.scores import (
    DRAWS,
    GOAL_TEXT,
    METRICS,
    SOURCES,
    Draw,
)
from sharpvae.report.theme import DARK, LIGHT
from sharpvae.report.verdict import Verdict, verdict


class PageFigure(NamedTuple):
    """A picture of the page with its label and its size in CSS pixels."""

    label: str
    alt: str
    image: str  # a data URI
    svg: Markup  # or what stands in an <svg>
    width: int
    height: int


class Charts(NamedTuple):
    """All charts of the report."""

    spectra: list[Panel]
    sharpness: list[Panel]
    curves: list[Panel]
    latent: list[Panel]
    codes: list[Panel]


def draw_charts(evidence: Evidence) -> Charts:
    """What is to be drawn, for the page and for the files."""
    return Charts(
        [figures.spectrum_panel(evidence)],
        figures.sharpness_panels(evidence),
        figures.curve_panels(evidence),
        figures.latent_panels(evidence),
        figures.code_panels(evidence),
    )


def render_page(
    evidence: Evidence, comparison: Comparison, verdict: Verdict, charts: Charts
) -> str:
    """The whole page, from the doctype to the end."""
    seed, title = evidence.stage.seeds[0], evidence.card.title
    grid = grids(1 + len(evidence.variants))

    def drawn(draw: Draw) -> list[PageFigure]:
        figures, known = [], evidence.draws[draw.kind]
        for name in filter(known.__contains__, evidence.variants):
            own = evidence.runs[name][0].scores.headline if draw is DRAWS[0] else draw.kind
            label = _from(evidence, name) if draw is DRAWS[0] else name
            alt = f"Images that {name}, seed {seed}, drew from {SOURCES[own]}"
            alt = f"Images of {name}" if own == GIVEN else alt
            figures.append(_picture(label, alt, grid(known[name])))
        return figures

    return template("report.html").render(
        title=_title(evidence),
        evidence=evidence,
        stage=evidence.stage,
        sentence=typographic(verdict.sentence),
        steps=list(map(typographic, verdict.steps)),
        verdict_notes=list(map(typographic, verdict.notes)),
        first_seed=seed,
        several=len(evidence.stage.seeds) > 1,
        trained=list(evidence.trained),
        findings=_findings(evidence, comparison),
        headline=scoretable.headline_table(comparison, evidence),
        every=scoretable.every_table(comparison),
        selection=_selection(evidence),
        table=scoretable.score_table(comparison, evidence),
        sights=scoretable.SIGHTS,
        judges=scoretable.judge_table(comparison, evidence),
        agreement=typographic(scoretable.agreement(comparison, evidence)),
        suspects=_copies(evidence),
        **{name: list(map(chart, panels)) for name, panels in charts._asdict().items()},
        samples=[
            _picture(REAL, "Real test images", grid(evidence.test_images)),
            *drawn(DRAWS[0]),
        ],
        first=DRAWS[0],
        draws={draw: drawn(draw) for draw in DRAWS[1:] if evidence.draws[draw.kind]},
        reconstructions=[
            *_drawn(evidence.originals, strip, "A row of {}"),
            *_drawn(
                evidence.reconstructions, strip,
                "The same images as {} reconstructs them"
                + (f", seed {seed}" if evidence.trained else ""),
            ),
        ],
        budget=tables.budget_table(evidence),
        validation=tables.validation_table(evidence),
        differences=tables.difference_table(evidence),
        runs=tables.run_table(evidence),
        protocol=tables.protocol_table(evidence),
        protocol_notes=list(map(typographic, tables.protocol_notes(evidence))),
        metrics=[metric for metric in METRICS if comparison.has(metric.key)],
        goal_text=GOAL_TEXT,
        card=tables.card_rows(evidence.card, evidence.reference),
        sheet=_picture("", f"Images of {title}", embedded(evidence.sheet)),
        series=len(LIGHT.series),
    )  # fmt: skip


def template(name: str, *folders: Path) -> Template:
    """A page in the look of the report: one of its templates, or one of `folders`."""
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent / "templates"]), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.globals["themes"] = [LIGHT, DARK]
    return environment.get_template(name)


def _title(evidence: Evidence) -> str:
    first, *others = evidence.runs
    whole = len(others) < len(evidence.variants)
    named = join(evidence.variants) if whole else f"{first} and {len(others)} others"
    return f"{named} on {evidence.card.title}"


def _selection(evidence: Evidence) -> str:
    """Which variants are shown, where they are not all."""
    shown, count = evidence.variants, len(evidence.runs)
    if len(shown) == count:
        return ""
    return (
        f"Of {count} variants, {shown[0]} and the {len(shown) - 1} with the lowest FID of the "
        "validation split are shown; collapsed ones count as the worst. Intervals are corrected "
        "for the comparisons of all."
    )


def _from(evidence: Evidence, variant: str) -> str:
    source = evidence.runs[variant][0].scores.headline
    return variant if source == GIVEN else f"{variant}, from the {source}"


def _findings(evidence: Evidence, comparison: Comparison) -> list[Finding]:
    found = diagnose(evidence, comparison)
    return [finding._replace(text=typographic(finding.text)) for finding in found]


def _copies(evidence: Evidence) -> list[PageFigure]:
    """Samples that are most like a copy, above the training images that they are like."""
    alt = "Samples of {}, above the training images nearest to them"
    shown = {n: evidence.suspects[n] for n in evidence.variants if len(evidence.suspects[n])}
    return _drawn(shown, pairs, alt)


def _drawn(images: dict[str, Images], lay: Lay, alt: str) -> list[PageFigure]:
    return [_picture(name, alt.format(name), lay(own)) for name, own in images.items()]


def _picture(label: str, alt: str, picture: EmbeddedImage) -> PageFigure:
    return PageFigure(label, alt, _data_uri(picture.png), Markup(), picture.width, picture.height)


def chart(panel: Panel) -> PageFigure:
    width, height = (round(100 * inches) for inches in panel.size)
    svg = Markup(inline(panel, f"{panel.title} {panel.alt}"))
    return PageFigure(panel.title, panel.alt, "", svg, width, height)


def typographic(text: str) -> str:
    return text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


class Report(NamedTuple):
    """All output files of the stage, by name; figures are PNGs below figures/."""

    comparison: Comparison
    verdict: Verdict
    texts: dict[str, str]
    figures: dict[str, bytes]


def build_report(evidence: Evidence) -> Report:
    """Make every file of the report; the same evidence gives the same bytes."""
    comparison = evidence.comparison
    outcome = verdict(comparison)
    charts, metrics = draw_charts(evidence), scoretable.headline_metrics(comparison)
    texts = {
        "metrics.json": json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "curves.csv": curves_csv(evidence),
        "report.md": render_markdown(evidence, comparison, outcome),
        "report.html": render_page(evidence, comparison, outcome, charts),
    }
    grid = grids(1 + len(evidence.variants))

    def pictured(images: dict[str, Images], lay: Lay, columns: int) -> bytes:
        return sheet([(REAL, evidence.test_images), *images.items()], lay, columns, LIGHT)

    headline = {_from(evidence, name): own for name, own in evidence.draws["headline"].items()}

    def drawn(panels: list[Panel], lines: dict[str, str]) -> bytes:
        return render_sheet(panels, evidence.variants, LIGHT, lines)

    blurred = {REAL: "area", "real images, blurred by 1 px": "dashed"}
    pictures = {
        "samples.png": pictured(headline, grid, 4),
        **{f"{d.kind}.png": pictured(evidence.draws[d.kind], grid, 4) for d in DRAWS[1:]},
        "reconstructions.png": pictured(evidence.reconstructions, strip, 1),
        "sharpness.png": drawn(charts.sharpness, {REAL: "area"}),
        "spectra.png": drawn(charts.spectra, blurred),
        "curves.png": drawn(charts.curves, {"validation": "solid", "train": "dashed"}),
        "codes.png": drawn(charts.codes, {"the prior": "dashed"}),
    }
    if copies := [(name, own) for name, own in evidence.suspects.items() if len(own)]:
        pictures["nearest.png"] = sheet(copies, pairs, 2, LIGHT)
    return Report(comparison, outcome, texts, pictures)


def write_report(report: Report, folder: Path) -> None:
    """Write all files below `folder`: the figures first, as one; each text replaces the last."""
    with fresh_directory(folder / "figures") as staging:
        for name, png in report.figures.items():
            (staging / name).write_bytes(png)
    for name, text in report.texts.items():
        write_text(folder / name, text)


def curves_csv(evidence: Evidence) -> str:
    """Every logged value of every run, as `epoch,variant,seed,split,term,value`."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["epoch", "variant", "seed", "split", "term", "value"])
    writer.writerows(
        [record.epoch, run.variant, run.seed, record.split, record.term, record.text]
        for runs in evidence.runs.values()
        for run in runs
        for record in run.history
    )
    return buffer.getvalue()


class ScoreReport(NamedTuple):
    """What is said of images that somebody else made; `files` are score.html, .md and .json."""

    verdict: Verdict
    findings: list[Finding]
    scores: dict[str, dict[str, float | None]]
    table: scoretable.ScoreTable
    files: dict[str, str]


def score_files(evidence: Evidence, notes: Sequence[str]) -> ScoreReport:
    """The report on images that somebody else made, with `notes` on how they were read."""
    comparison = evidence.comparison
    outcome, scores = verdict(comparison), scoretable.headline_metrics(comparison)
    outcome = outcome._replace(notes=[*outcome.notes, *notes])
    whole: dict[str, object] = {**scores, "floors": evidence.floors}
    files = {
        "score.json": json.dumps(whole, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "score.md": render_markdown(evidence, comparison, outcome),
        "score.html": render_page(evidence, comparison, outcome, draw_charts(evidence)),
    }
    table = scoretable.headline_table(comparison, evidence)
    return ScoreReport(outcome, diagnose(evidence, comparison), scores, table, files)


def render_markdown(evidence: Evidence, comparison: Comparison, verdict: Verdict) -> str:
    """A short text for a pull request; its pictures are in figures/ beside it."""
    stage = evidence.stage
    seeds = f"{'seeds' if len(stage.seeds) > 1 else 'seed'} {', '.join(map(str, stage.seeds))}"
    pictures = [
        _image("samples", "Real test images beside samples of each variant"),
        _image("reconstructions", "Test images above each variant's reconstructions"),
    ]
    end = f"Preset {escape(stage.preset)}, {seeds}. Everything else is in report.html."
    if not evidence.trained:
        pictures, end = [], "Everything else is in score.html."
    head = scoretable.headline_table(comparison, evidence)
    blocks = [
        f"# {escape(_title(evidence))}",
        *pictures,
        f"**{escape(verdict.sentence)}**",
        "\n".join(f"- {escape(line)}" for line in (*verdict.steps, *verdict.notes)),
        "\n".join(map(_finding, diagnose(evidence, comparison))),
        _score_rows(head),
        _score_key(head),
        "\n".join(f"- {escape(line)}" for line in head.missing),
        escape(_selection(evidence)),
        escape(scoretable.agreement(comparison, evidence)),
        "\n".join(f"- {escape(note)}" for note in tables.protocol_notes(evidence)),
        end,
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _finding(finding: Finding) -> str:
    command = f" Try:\n  ```sh\n  {finding.command}\n  ```" if finding.command else ""
    return f"- {escape(finding.variant)}: {escape(finding.text)}{command}"


def escape(text: str) -> str:
    """`text` in one line, without markup of Markdown or HTML; `_` within words needs no escape."""
    escaped = re.sub(r"([\\`*\[\]{}<>|#~&])", r"\\\1", visible(text))
    return re.sub(r"(?<![^\W_])_|_(?![^\W_])", r"\\_", escaped)


def _image(name: str, alt: str) -> str:
    return f"![{alt}](figures/{name}.png)"


def _score_rows(table: scoretable.ScoreTable) -> str:
    head = ["Score", "Better", *map(escape, table.variants), *map(escape, table.floors)]
    lines = [
        [
            escape(row.metric.name), row.goal, *map(_cell, row.cells),
            *(f"{floor.text}{scoretable.SIGHTS.get(floor.sight, '')}" for floor in row.floors),
        ]
        for row in table.groups[""]
    ]  # fmt: skip
    return markdown_table([head, *lines], range(2, len(head)))


def _cell(cell: scoretable.Cell) -> str:
    text = f"{cell.text} {cell.spread}".rstrip()
    if cell.doubtful:
        return f"~~{text}~~"
    return f"{f'**{text}**' if cell.best else text} {cell.change}".rstrip()


def _score_key(table: scoretable.ScoreTable) -> str:
    fooled, blind = scoretable.SIGHTS["fooled"], scoretable.SIGHTS["blind"]
    text = (
        'Bold is the best value; "better" and "worse" say that the 95\N{NO-BREAK SPACE}% interval '
        "of the change against the first variant excludes no change. Columns after the variants: "
        f"real images of known faults; {fooled} the fault improves the score; {blind} the score "
        "hardly sees it."
    )
    if table.any_doubtful:
        text += " Struck out: a collapsed variant's sharpness means nothing."
    return text


def markdown_table(rows: Sequence[Sequence[str]], numeric: Container[int]) -> str:
    """A table of Markdown; the first row is its head."""
    rule = ["--:" if index in numeric else ":--" for index in range(len(rows[0]))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))
