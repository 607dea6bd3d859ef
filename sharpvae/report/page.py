"""The report as one page, as Markdown, and as files that DVC compares."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageDraw, ImageFont

from sharpvae.core.files import fresh_directory, write_text
from sharpvae.images.tiles import tile
from sharpvae.report.evidence import Evidence, Images
from sharpvae.report.figures import (
    DARK,
    DPI,
    LIGHT,
    Panel,
    Theme,
    curve_panels,
    latent_panel,
    render,
    render_sheet,
    sharpness_panels,
)
from sharpvae.report.metrics import GOAL_TEXT, METRICS
from sharpvae.report.provenance import card_rows, protocol_notes, protocol_table, run_table
from sharpvae.report.scores import Comparison, headline_metrics
from sharpvae.report.tables import (
    CAVEAT,
    Cell,
    ScoreTable,
    Table,
    difference_table,
    gap_table,
    join,
    score_table,
)
from sharpvae.report.verdict import Verdict, verdict

LEAST = 64  # pixels that an image should measure at the least, as shown
_GRID = 340  # pixels of a grid's width, as shown: three grids fit side by side, one on a phone
_STRIP = 820  # pixels of a strip's width, as shown
_GAP = 1  # pixels between images, before enlargement
_LABEL = 26  # pixels for a line of text on a sheet
_MARGIN = 12
TEMPLATES = Path(__file__).parent / "templates"


class EmbeddedImage(NamedTuple):
    """A PNG and the size at which to show it, a whole multiple of its own."""

    png: bytes
    width: int
    height: int


def enlargement(size: int) -> int:
    """The whole factor that makes an image of `size` pixels at least LEAST wide."""
    return max(1, -(-LEAST // size))


def grid(images: Images) -> EmbeddedImage:
    """The first images as a square grid."""
    size = images.shape[2]
    columns = min(5, max(2, _GRID // ((size + _GAP) * enlargement(size))))
    return _tiled(images[: columns * columns], columns)


def strip(images: Images) -> EmbeddedImage:
    """The first images in one row."""
    size = images.shape[2]
    count = min(12, max(4, _STRIP // ((size + _GAP) * enlargement(size))))
    return _tiled(images[:count], count)


def _tiled(images: Images, columns: int) -> EmbeddedImage:
    factor = enlargement(images.shape[2])
    pixels = tile(opaque(images), min(columns, len(images)), _GAP, 0)
    height, width = pixels.shape[:2]
    return EmbeddedImage(_png(Image.fromarray(pixels)), width * factor, height * factor)


def opaque(images: Images) -> Images:
    """uint8 [N, H, W, C], C 1 or 3 => uint8 [N, H, W, 4], RGBA"""
    colours = images.repeat(3 // images.shape[3], axis=3)
    return np.pad(colours, ((0, 0), (0, 0), (0, 0), (0, 1)), constant_values=255)


def embedded(png: bytes) -> EmbeddedImage:
    """A picture that an earlier stage made, enlarged by a whole factor where it is small."""
    with Image.open(io.BytesIO(png)) as image:
        factor = max(1, 640 // image.width)
        return EmbeddedImage(png, image.width * factor, image.height * factor)


def sheet(
    labelled: Sequence[tuple[str, Images]],
    lay: Callable[[Images], EmbeddedImage],
    columns: int,
    theme: Theme,
) -> bytes:
    """Grids or strips, as `lay` makes them, at most `columns` in a row, each below its label."""
    blocks = [(label, _enlarged(lay(images))) for label, images in labelled]
    columns = min(columns, len(blocks))
    width = max(block.width for _, block in blocks) + _MARGIN
    height = max(block.height for _, block in blocks) + _LABEL + _MARGIN
    rows = -(-len(blocks) // columns)
    canvas = Image.new("RGB", (columns * width + _MARGIN, rows * height + _MARGIN), theme.paper)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(15)  # comes with Pillow: the same letters on every machine
    for index, (label, block) in enumerate(blocks):
        x, y = _MARGIN + index % columns * width, _MARGIN + index // columns * height
        draw.text((x, y), _shortened(label, font, block.width), theme.ink, font)
        canvas.paste(block, (x, y + _LABEL), block)
    return _png(canvas)


def _shortened(label: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`label`, its end cut off where it would run into the next picture."""
    if font.getlength(label) <= width:
        return label
    while label and font.getlength(f"{label}...") > width:
        label = label[:-1]
    return f"{label}..."


def _enlarged(picture: EmbeddedImage) -> Image.Image:
    with Image.open(io.BytesIO(picture.png)) as image:
        size = (picture.width, picture.height)
        return image.convert("RGBA").resize(size, Image.Resampling.NEAREST)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class PageFigure:
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
    seed = evidence.stage.seeds[0]
    return environment.get_template("report.html").render(
        title=f"{join(evidence.variants)} on {evidence.card.title}",
        evidence=evidence,
        stage=evidence.stage,
        sentence=_typographic(verdict.sentence),
        verdict_notes=[_typographic(note) for note in verdict.notes],
        first_seed=seed,
        several=len(evidence.stage.seeds) > 1,
        table=score_table(comparison, evidence.reference),
        gaps=gap_table(comparison),
        gaps_caveat=CAVEAT,
        samples=[
            _picture("real test images", "Real test images", grid(evidence.test_images)),
            *_drawn(evidence.prior, grid, f"Images that {{}}, seed {seed}, drew from the prior"),
        ],
        mixture=_drawn(
            evidence.mixture,
            grid,
            f"Images that {{}}, seed {seed}, drew from the mixture fitted to its codes",
        ),
        reconstructions=[
            _picture("real test images", "A row of test images", strip(evidence.test_images)),
            *_drawn(
                evidence.reconstructions,
                strip,
                f"The same images as {{}}, seed {seed}, reconstructs them",
            ),
        ],
        curves=[_chart(panel) for panel in curve_panels(evidence)],
        sharpness=[_chart(panel) for panel in sharpness_panels(evidence)],
        latent=_chart(latent_panel(evidence)),
        differences=difference_table(evidence),
        runs=run_table(evidence),
        protocol=protocol_table(evidence),
        notes=[_typographic(note) for note in protocol_notes(evidence)],
        metrics=[metric for metric in METRICS if comparison.has(metric.key)],
        goal_text=GOAL_TEXT,
        card=card_rows(evidence.card, evidence.reference),
        sheet=_picture("", f"Images of {evidence.card.title}", embedded(evidence.sheet)),
        themes=[LIGHT, DARK],
        series=len(LIGHT.series),
    )


def _drawn(
    images: dict[str, Images], lay: Callable[[Images], EmbeddedImage], alt: str
) -> list[PageFigure]:
    return [_picture(name, alt.format(name), lay(own)) for name, own in images.items()]


def _picture(label: str, alt: str, picture: EmbeddedImage) -> PageFigure:
    return PageFigure(label, alt, _data_uri(picture.png), "", picture.width, picture.height)


def _chart(panel: Panel) -> PageFigure:
    light, dark = (_data_uri(render(panel, theme)) for theme in (LIGHT, DARK))
    width, height = (round(inches * DPI / 2) for inches in panel.size)
    return PageFigure(panel.title, panel.alt, light, dark, width, height)


def _typographic(text: str) -> str:
    return text.replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


@dataclass(frozen=True)
class Report:
    """All output files of the stage, by name; figures are PNGs below figures/."""

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
    for run in evidence.all_runs:
        for record in run.history:
            row = [record.epoch, run.variant, run.seed, record.split, record.term, record.text]
            writer.writerow(row)
    return buffer.getvalue()


def _figures(evidence: Evidence) -> dict[str, bytes]:
    """The pictures of report.md, which `dvc plots diff` compares too."""
    real = ("real test images", evidence.test_images)
    names = evidence.variants
    return {
        "samples.png": sheet([real, *evidence.prior.items()], grid, 4, LIGHT),
        "mixture.png": sheet([real, *evidence.mixture.items()], grid, 4, LIGHT),
        "reconstructions.png": sheet([real, *evidence.reconstructions.items()], strip, 1, LIGHT),
        "sharpness.png": render_sheet(sharpness_panels(evidence), names, LIGHT, split_key=False),
        "curves.png": render_sheet(curve_panels(evidence), names, LIGHT, split_key=True),
    }


def render_markdown(evidence: Evidence, comparison: Comparison, verdict: Verdict) -> str:
    """The whole text; its pictures are in figures/ beside it."""
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
        _image("samples", "Real test images beside samples of each variant"),
        "## Samples from the mixture fitted to the codes",
        _image("mixture", "Real test images beside samples from each variant's mixture"),
        "## Reconstructions",
        _image("reconstructions", "Test images above each variant's reconstructions"),
        "## Scores",
        _score_rows(scores),
        _score_key(scores, several),
        "## Prior, mixture and reconstructions",
        _rows(gap_table(comparison)),
        CAVEAT,
        "## Sharpness of single images",
        _image("sharpness", "Histograms of the sharpness of single images"),
        "Triangles mark the means. To the left of the real images is blur, to the right noise.",
        "## Training",
        _image("curves", "Every loss term and schedule over the epochs"),
        "Means over images. A dot marks the epoch whose weights were kept, where not the last.",
        _rows(run_table(evidence)),
        "## What differs between the variants",
        _differences(evidence),
        "## How each number was made",
        _rows(protocol_table(evidence)),
        "\n".join(f"- {escape(note)}" for note in protocol_notes(evidence)),
        "## The data",
        _rows(
            Table(["", escape(evidence.card.title)], card_rows(evidence.card, evidence.reference))
        ),
        "## To make this again",
        "```sh\ndvc repro\n```",
    ]
    return "\n\n".join(block for block in blocks if block) + "\n"


def escape(text: str) -> str:
    """`text` without markup of Markdown or HTML; underscores within words need no escape."""
    escaped = re.sub(r"([\\`*\[\]{}<>|#~&])", r"\\\1", text)
    return re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", escaped)


def _image(name: str, alt: str) -> str:
    return f"![{alt}](figures/{name}.png)"


def _score_rows(table: ScoreTable) -> str:
    head = ["Score", "Better", *map(escape, table.variants), *map(escape, table.references)]
    lines = []
    for heading, rows in table.groups.items():
        lines.append([f"*{heading}*", *[""] * (len(head) - 1)])
        for row in rows:
            cells = [_cell(cell) for cell in row.cells]
            lines.append([escape(row.metric.label), row.goal, *cells, *row.references])
    return _lines([head, *lines], range(2, len(head)))


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
    rows = [[escape(cell) for cell in row] for row in (table.head, *table.rows)]
    return _lines(rows, table.numeric)


def _lines(rows: Sequence[Sequence[str]], numeric: Container[int]) -> str:
    """A table of Markdown; the first row is its head."""
    rule = ["--:" if index in numeric else ":--" for index in range(len(rows[0]))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))
