"""All scores, pictures and settings => reports/report.html, report.md, metrics.json and more."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from sharpvae.core.config import load_stage
from sharpvae.core.console import run
from sharpvae.report.evidence import Evidence, ReportStage, load_evidence
from sharpvae.report.page import Report, build_report, write_report
from sharpvae.report.tables import score_table

REPORTS = Path("reports")
SHOWN = ("fid", "kid", "sharpness", "active_units")


def main() -> None:
    """Read what every earlier stage wrote, and write the report."""
    stage = load_stage(Path("configs/report.json"), ReportStage)
    evidence = load_evidence(stage, Path())
    report = build_report(evidence)
    write_report(report, REPORTS)
    console = Console()
    console.print(report.verdict.sentence, style="bold", highlight=False, markup=False)
    console.print(scores_table(report, evidence))
    console.print(f"report: {REPORTS / 'report.html'}", highlight=False, soft_wrap=True)


def scores_table(report: Report, evidence: Evidence) -> Table:
    """A few scores of every variant, the best in bold."""
    scores = score_table(report.comparison, evidence.reference)
    rows = {row.metric.key: row for group in scores.groups.values() for row in group}
    table = Table(Column("variant", overflow="fold"), box=None, pad_edge=False)
    for key in SHOWN:
        table.add_column(key, justify="right", no_wrap=True)
    for index, name in enumerate(scores.variants):
        cells = [rows[key].cells[index] for key in SHOWN]
        styled = [(f"{c.text} {c.spread}".rstrip(), "bold" if c.standing else "") for c in cells]
        table.add_row(Text(name), *(Text(text, style=style) for text, style in styled))
    return table


if __name__ == "__main__":
    run(main, sys.argv)
