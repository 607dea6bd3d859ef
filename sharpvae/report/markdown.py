"""The report as Markdown for a pull request, with its pictures in files beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sharpvae.report.evidence import Evidence
from sharpvae.report.gaps import CAVEAT, gap_table
from sharpvae.report.numerals import join
from sharpvae.report.provenance import card_rows, protocol_notes, protocol_table, run_table
from sharpvae.report.scores import Comparison
from sharpvae.report.tables import Cell, ScoreTable, Table, difference_table, score_table
from sharpvae.report.verdict import Verdict


def render_markdown(evidence: Evidence, comparison: Comparison, verdict: Verdict) -> str:
    """The whole text; pictures are looked for in figures/ beside it."""
    stage = evidence.stage
    several = len(stage.seeds) > 1
    scores = score_table(comparison, evidence.reference)
    seeds = f"{'seeds' if several else 'seed'} {', '.join(map(str, stage.seeds))}"
    blocks = [
        f"# {escape(join(evidence.variants))} on {escape(evidence.card.title)}",
        f"**{escape(verdict.sentence)}**",
        "\n".join(f"- {escape(note)}" for note in verdict.notes),
        f"Preset {escape(stage.preset)}, {seeds}.",
        "## Samples from the prior",
        _picture("samples", "Real test images beside samples of each variant"),
        "## Samples from the mixture fitted to the codes",
        _picture("mixture", "Real test images beside samples from each variant's mixture"),
        "## Reconstructions",
        _picture("reconstructions", "Test images above each variant's reconstructions"),
        "## Scores",
        _score_rows(scores),
        _score_key(scores, several),
        "## Prior, mixture and reconstructions",
        _rows(gap_table(comparison)),
        CAVEAT,
        "## Sharpness of single images",
        _picture("sharpness", "Histograms of the sharpness of single images"),
        "Triangles mark the means. To the left of the real images is blur, to the right noise.",
        "## Training",
        _picture("curves", "Every loss term and schedule over the epochs"),
        "Means over images. A dot marks the epoch whose weights were kept, where not the last.",
        _rows(run_table(evidence)),
        "## What differs between the variants",
        _differences(evidence),
        "## How each number was made",
        _rows(protocol_table(evidence)),
        "\n".join(f"- {escape(note)}" for note in protocol_notes(evidence)),
        "## The data",
        _rows(Table(["", escape(evidence.card.title)], card_rows(evidence.card))),
        "## To make this again",
        "```sh\ndvc repro\n```",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """`text` with all that Markdown or HTML would take for markup made harmless.

    An underscore within a word is left alone, as GitHub leaves it, so that names stay readable.
    """
    escaped = re.sub(r"([\\`*\[\]{}<>|#~&])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)


def _picture(name: str, alt: str) -> str:
    return f"![{alt}](figures/{name}.png)"


def _score_rows(table: ScoreTable) -> str:
    head = ["Score", "Better", *map(escape, table.variants), *map(escape, table.references)]
    lines = [_line(head), _line([":--", ":--", *["--:"] * (len(head) - 2)])]
    for heading, rows in table.groups.items():
        lines.append(_line([f"*{heading}*", *[""] * (len(head) - 1)]))
        for row in rows:
            cells = [_cell(cell) for cell in row.cells]
            lines.append(_line([escape(row.metric.label), row.goal, *cells, *row.references]))
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    text = f"{cell.text} {cell.spread}".rstrip()
    if cell.doubtful:
        return f"~~{text}~~ \N{DAGGER}"
    if cell.standing:
        mark = "\N{BLACK CIRCLE}" if cell.standing == "clear" else "\N{WHITE CIRCLE}"
        return f"**{text}** {mark}"
    return text


def _score_key(table: ScoreTable, several: bool) -> str:
    text = "Bold \N{WHITE CIRCLE} is the best value"
    if several:
        text += (
            "; bold \N{BLACK CIRCLE} is the best value whose 95\N{NO-BREAK SPACE}% interval is "
            "clear of every other variant's"
        )
    if table.any_doubtful:
        text += ". \N{DAGGER} A collapsed variant's sharpness means nothing and takes no part"
    return f"{text}. The last {len(table.references)} columns are real images, for scale."


def _differences(evidence: Evidence) -> str:
    if len(evidence.variants) < 2:
        return "There is one variant, so nothing differs."
    table = difference_table(evidence)
    return _rows(table) if table.rows else "Nothing: all variants have the same settings."


def _rows(table: Table) -> str:
    numeric = range(len(table.head))
    lines = [
        _line([escape(head) for head in table.head]),
        _line(["--:" if index in table.numeric else ":--" for index in numeric]),
        *(_line([escape(cell) for cell in row]) for row in table.rows),
    ]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
