"""The report as one HTML page that needs no other file."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sharpvae.report.catalogue import GOAL_TEXT, METRICS
from sharpvae.report.charts import curve_panels, latent_panel, sharpness_panels
from sharpvae.report.drawing import DPI, Panel, render
from sharpvae.report.evidence import Evidence
from sharpvae.report.gaps import CAVEAT, gap_table
from sharpvae.report.numerals import join
from sharpvae.report.palette import DARK, LIGHT
from sharpvae.report.pictures import Picture, embedded, grid, strip
from sharpvae.report.provenance import card_rows, protocol_notes, protocol_table, run_table
from sharpvae.report.scores import Comparison
from sharpvae.report.tables import difference_table, score_table
from sharpvae.report.verdict import Verdict

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Figure:
    """A picture of the page with its label.

    Attributes:
        image, dark: data URIs; `dark` is "" where one picture serves both colour schemes.
        width, height: CSS pixels.
    """

    label: str
    alt: str
    image: str
    dark: str
    width: int
    height: int


def render_page(evidence: Evidence, comparison: Comparison, verdict: Verdict) -> str:
    """The whole page, from the doctype to the end."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html").render(
        title=f"{join(evidence.variants)} on {evidence.card.title}",
        evidence=evidence,
        stage=evidence.stage,
        sentence=_typographic(verdict.sentence),
        verdict_notes=[_typographic(note) for note in verdict.notes],
        first_seed=evidence.stage.seeds[0],
        several=len(evidence.stage.seeds) > 1,
        table=score_table(comparison, evidence.reference),
        gaps=gap_table(comparison),
        gaps_caveat=CAVEAT,
        samples=_samples(evidence),
        mixture=_mixture(evidence),
        reconstructions=_reconstructions(evidence),
        curves=[_chart(panel) for panel in curve_panels(evidence)],
        sharpness=[_chart(panel) for panel in sharpness_panels(evidence)],
        latent=_chart(latent_panel(evidence)),
        differences=difference_table(evidence),
        runs=run_table(evidence),
        protocol=protocol_table(evidence),
        notes=[_typographic(note) for note in protocol_notes(evidence)],
        metrics=[metric for metric in METRICS if comparison.has(metric.key)],
        goal_text=GOAL_TEXT,
        card=card_rows(evidence.card),
        sheet=_picture("", f"Images of {evidence.card.title}", embedded(evidence.sheet)),
        themes=[LIGHT, DARK],
        series=len(LIGHT.series),
    )


def _samples(evidence: Evidence) -> list[Figure]:
    seed = evidence.stage.seeds[0]
    figures = [_picture("real test images", "Real test images", grid(evidence.test_images))]
    for name, images in evidence.prior.items():
        alt = f"Images that {name}, seed {seed}, drew from the prior"
        figures.append(_picture(name, alt, grid(images)))
    return figures


def _mixture(evidence: Evidence) -> list[Figure]:
    alt = "Images that {}, seed {}, drew from the mixture fitted to its codes"
    seed = evidence.stage.seeds[0]
    return [
        _picture(name, alt.format(name, seed), grid(images))
        for name, images in evidence.mixture.items()
    ]


def _reconstructions(evidence: Evidence) -> list[Figure]:
    seed = evidence.stage.seeds[0]
    figures = [_picture("real test images", "A row of test images", strip(evidence.test_images))]
    for name, images in evidence.reconstructions.items():
        alt = f"The same images as {name}, seed {seed}, reconstructs them"
        figures.append(_picture(name, alt, strip(images)))
    return figures


def _picture(label: str, alt: str, picture: Picture) -> Figure:
    return Figure(label, alt, _data_uri(picture.png), "", picture.width, picture.height)


def _chart(panel: Panel) -> Figure:
    light, dark = (_data_uri(render(panel, theme)) for theme in (LIGHT, DARK))
    width, height = (round(inches * DPI / 2) for inches in panel.size)
    return Figure(panel.title, panel.alt, light, dark, width, height)


def _typographic(text: str) -> str:
    return text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"
