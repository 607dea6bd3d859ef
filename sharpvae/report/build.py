"""The whole report, made in memory, then written in one go."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import dataclass
from pathlib import Path

from sharpvae.artefacts import fresh_directory, write_text
from sharpvae.report.charts import curve_panels, sharpness_panels
from sharpvae.report.drawing import render_sheet
from sharpvae.report.evidence import Evidence
from sharpvae.report.markdown import render_markdown
from sharpvae.report.page import render_page
from sharpvae.report.palette import LIGHT
from sharpvae.report.pictures import sheet_of_grids, sheet_of_strips
from sharpvae.report.scores import Comparison, headline_metrics
from sharpvae.report.verdict import Verdict, verdict


@dataclass(frozen=True)
class Report:
    """All output files of the stage.

    Attributes:
        texts: file name -> content.
        figures: file name within figures/ -> PNG.
    """

    comparison: Comparison
    verdict: Verdict
    texts: dict[str, str]
    figures: dict[str, bytes]


def build_report(evidence: Evidence) -> Report:
    """Make every file of the report; the same evidence gives the same bytes."""
    comparison = evidence.comparison()
    outcome = verdict(comparison)
    metrics = headline_metrics(comparison)
    texts = {
        "metrics.json": json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "curves.csv": curves_csv(evidence),
        "report.md": render_markdown(evidence, comparison, outcome),
        "report.html": render_page(evidence, comparison, outcome),
    }
    return Report(comparison, outcome, texts, _figures(evidence))


def write_report(report: Report, folder: Path) -> None:
    """Write all files below `folder`, replacing those of an earlier report.

    The figures go first and as one; each text replaces its predecessor whole.
    """
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
    for run in evidence.all_runs:
        for record in run.history:
            row = [record.epoch, run.variant, run.seed, record.split, record.term, record.text]
            writer.writerow(row)
    return buffer.getvalue()


def _figures(evidence: Evidence) -> dict[str, bytes]:
    """The pictures of report.md, which `dvc plots diff` also lays side by side."""
    real = ("real test images", evidence.test_images)
    names = evidence.variants
    return {
        "samples.png": sheet_of_grids([real, *evidence.prior.items()], LIGHT),
        "mixture.png": sheet_of_grids([real, *evidence.mixture.items()], LIGHT),
        "reconstructions.png": sheet_of_strips([real, *evidence.reconstructions.items()], LIGHT),
        "sharpness.png": render_sheet(sharpness_panels(evidence), names, LIGHT, split_key=False),
        "curves.png": render_sheet(curve_panels(evidence), names, LIGHT, split_key=True),
    }
