"""All scores, pictures and settings => reports/report.html, report.md, metrics.json and more."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.table import Column, Table
from rich.text import Text

from sharpvae.core.config import load_stage
from sharpvae.core.console import run, terminal
from sharpvae.core.threads import use_threads
from sharpvae.report.evidence import Evidence, ReportStage, load_evidence
from sharpvae.report.page import Report, build_report, write_report
from sharpvae.report.scores import TABLE
from sharpvae.report.scoretable import headline_table

REPORTS = Path("reports")


def main() -> None:
    """Read what every earlier stage wrote, and write the report."""
    use_threads(1)  # for sums as small as these
    stage = load_stage(Path("configs/report.json"), ReportStage)
    evidence = load_evidence(stage, Path())
    report = build_report(evidence)
    write_report(report, REPORTS)
    console = terminal()
    console.print(report.verdict.sentence, style="bold", highlight=False, markup=False)
    console.print(scores_table(report, evidence))
    if rest := len(evidence.runs) - len(evidence.variants):
        console.print(f"and {rest} more variants, all in the report")
    console.print(f"report: {REPORTS / 'report.html'}", highlight=False, soft_wrap=True)


def scores_table(report: Report, evidence: Evidence) -> Table:
    """A few scores of every variant, the best in bold."""
    scores = headline_table(report.comparison, evidence)
    rows = {row.metric.key: row for row in scores.groups[""]}
    table = Table(Column("variant", overflow="fold"), box=None, pad_edge=False)
    for key in TABLE[:5]:
        table.add_column(key, justify="right", no_wrap=True)
    for index, name in enumerate(scores.variants):
        cells = [rows[key].cells[index] for key in TABLE[:5]]
        styled = [(f"{c.text} {c.spread}".rstrip(), "bold" if c.best else "") for c in cells]
        table.add_row(Text(name), *(Text(text, style=style) for text, style in styled))
    return table


if __name__ == "__main__":
    run(main, sys.argv)
