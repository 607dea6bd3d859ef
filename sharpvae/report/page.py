"""The report as one page, as Markdown, and as files that DVC compares."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image, ImageDraw, ImageFont

from sharpvae.core.files import fresh_directory, write_text
from sharpvae.images.tiles import tile
from sharpvae.report import figures, tables
from sharpvae.report.evidence import Evidence, Images
from sharpvae.report.figures import DARK, LIGHT, Theme
from sharpvae.report.scores import GOAL_TEXT, METRICS, Comparison, headline_metrics
from sharpvae.report.tables import join
from sharpvae.report.verdict import Verdict, verdict

LEAST = 64  # pixels that an image should measure at the least, as shown
_GRID = 340  # pixels of a grid's width, as shown: three grids fit side by side, one on a phone
_STRIP = 820  # pixels of a strip's width, as shown
_GAP = 1  # pixels between images, before enlargement
_LABEL = 26  # pixels for a line of text on a sheet
_MARGIN = 12


class EmbeddedImage(NamedTuple):
    """A PNG and the size at which to show it, a whole multiple of its own."""

    png: bytes
    width: int
    height: int


Lay = Callable[[Images], EmbeddedImage]  # many images as one picture: `grid` or `strip`


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


def sheet(labelled: Sequence[tuple[str, Images]], lay: Lay, columns: int, theme: Theme) -> bytes:
    """Grids or strips, as `lay` makes them, at most `columns` in a row, each below its label."""
    blocks = []
    for label, images in labelled:
        picture = lay(images)
        with Image.open(io.BytesIO(picture.png)) as image:
            shown = image.resize((picture.width, picture.height), Image.Resampling.NEAREST)
        blocks.append((label, shown))
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
    shown = label
    while label and font.getlength(shown) > width:
        label = label[:-1]
        shown = f"{label}..."
    return shown


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


class PageFigure(NamedTuple):
    """A picture of the page with its label and its size in CSS pixels."""

    label: str
    alt: str
    image: str  # a data URI
    dark: str  # the same for a dark screen; "" where one picture serves both
    width: int
    height: int


def render_page(evidence: Evidence, comparison: Comparison, verdict: Verdict) -> str:
    """The whole page, from the doctype to the end."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True,
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    seed, real, title = evidence.stage.seeds[0], "real test images", evidence.card.title
    return environment.get_template("report.html").render(
        title=f"{join(evidence.variants)} on {title}",
        evidence=evidence,
        stage=evidence.stage,
        sentence=_typographic(verdict.sentence),
        verdict_notes=list(map(_typographic, verdict.notes)),
        first_seed=seed,
        several=len(evidence.stage.seeds) > 1,
        table=tables.score_table(comparison, evidence.reference),
        gaps=tables.gap_table(comparison),
        gaps_caveat=tables.CAVEAT,
        samples=[
            _picture(real, "Real test images", grid(evidence.test_images)),
            *_drawn(evidence.prior, grid, f"Images that {{}}, seed {seed}, drew from the prior"),
        ],
        mixture=_drawn(
            evidence.mixture, grid,
            f"Images that {{}}, seed {seed}, drew from the mixture fitted to its codes",
        ),
        reconstructions=[
            _picture(real, "A row of test images", strip(evidence.test_images)),
            *_drawn(
                evidence.reconstructions, strip,
                f"The same images as {{}}, seed {seed}, reconstructs them",
            ),
        ],
        curves=list(map(_chart, figures.curve_panels(evidence))),
        sharpness=list(map(_chart, figures.sharpness_panels(evidence))),
        latent=_chart(figures.latent_panel(evidence)),
        differences=tables.difference_table(evidence),
        runs=tables.run_table(evidence),
        protocol=tables.protocol_table(evidence),
        notes=list(map(_typographic, tables.protocol_notes(evidence))),
        metrics=[metric for metric in METRICS if comparison.has(metric.key)],
        goal_text=GOAL_TEXT,
        card=tables.card_rows(evidence.card, evidence.reference),
        sheet=_picture("", f"Images of {title}", embedded(evidence.sheet)),
        themes=[LIGHT, DARK],
        series=len(LIGHT.series),
    )  # fmt: skip


def _drawn(images: dict[str, Images], lay: Lay, alt: str) -> list[PageFigure]:
    return [_picture(name, alt.format(name), lay(own)) for name, own in images.items()]


def _picture(label: str, alt: str, picture: EmbeddedImage) -> PageFigure:
    return PageFigure(label, alt, _data_uri(picture.png), "", picture.width, picture.height)


def _chart(panel: figures.Panel) -> PageFigure:
    light, dark = (_data_uri(figures.render(panel, theme)) for theme in (LIGHT, DARK))
    width, height = (round(inches * figures.DPI / 2) for inches in panel.size)
    return PageFigure(panel.title, panel.alt, light, dark, width, height)


def _typographic(text: str) -> str:
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
    comparison = evidence.comparison()
    outcome = verdict(comparison)
    metrics = headline_metrics(comparison)
    texts = {
        "metrics.json": json.dumps(metrics, indent=2, ensure_ascii=False, allow_nan=False) + "\n",
        "curves.csv": curves_csv(evidence),
        "report.md": render_markdown(evidence, comparison, outcome),
        "report.html": render_page(evidence, comparison, outcome),
    }
    real, names = ("real test images", evidence.test_images), evidence.variants
    curves, sharpness = figures.curve_panels(evidence), figures.sharpness_panels(evidence)
    pictures = {
        "samples.png": sheet([real, *evidence.prior.items()], grid, 4, LIGHT),
        "mixture.png": sheet([real, *evidence.mixture.items()], grid, 4, LIGHT),
        "reconstructions.png": sheet([real, *evidence.reconstructions.items()], strip, 1, LIGHT),
        "sharpness.png": figures.render_sheet(sharpness, names, LIGHT, split_key=False),
        "curves.png": figures.render_sheet(curves, names, LIGHT, split_key=True),
    }
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
        for run in evidence.all_runs
        for record in run.history
    )
    return buffer.getvalue()


def render_markdown(evidence: Evidence, comparison: Comparison, verdict: Verdict) -> str:
    """The whole text; its pictures are in figures/ beside it."""
    stage, several = evidence.stage, len(evidence.stage.seeds) > 1
    scores = tables.score_table(comparison, evidence.reference)
    card = tables.card_rows(evidence.card, evidence.reference)
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
        _rows(tables.gap_table(comparison)),
        tables.CAVEAT,
        "## Sharpness of single images",
        _image("sharpness", "Histograms of the sharpness of single images"),
        "Triangles mark the means. To the left of the real images is blur, to the right noise.",
        "## Training",
        _image("curves", "Every loss term and schedule over the epochs"),
        "Means over images. A dot marks the epoch whose weights were kept, where not the last.",
        _rows(tables.run_table(evidence)),
        "## What differs between the variants",
        _differences(evidence),
        "## How each number was made",
        _rows(tables.protocol_table(evidence)),
        "\n".join(f"- {escape(note)}" for note in tables.protocol_notes(evidence)),
        "## The data",
        _rows(tables.Table(["", evidence.card.title], card)),
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


def _score_rows(table: tables.ScoreTable) -> str:
    head = ["Score", "Better", *map(escape, table.variants), *map(escape, table.references)]
    lines = []
    for heading, rows in table.groups.items():
        lines.append([f"*{heading}*", *[""] * (len(head) - 1)])
        for row in rows:
            cells = [_cell(cell) for cell in row.cells]
            lines.append([escape(row.metric.label), row.goal, *cells, *row.references])
    return _lines([head, *lines], range(2, len(head)))


def _cell(cell: tables.Cell) -> str:
    text = f"{cell.text} {cell.spread}".rstrip()
    if cell.doubtful:
        return f"~~{text}~~ \N{DAGGER}"
    mark = "\N{BLACK CIRCLE}" if cell.standing == "clear" else "\N{WHITE CIRCLE}"
    return f"**{text}** {mark}" if cell.standing else text


def _score_key(table: tables.ScoreTable, several: bool) -> str:
    text = "Bold \N{WHITE CIRCLE} is the best value"
    if several:
        text += "; bold \N{BLACK CIRCLE} is the best value whose 95\N{NO-BREAK SPACE}% interval is "
        text += "clear of every other variant's"
    if table.any_doubtful:
        text += ". \N{DAGGER} A collapsed variant's sharpness means nothing and takes no part"
    return f"{text}. The last {len(table.references)} columns are real images, for scale."


def _differences(evidence: Evidence) -> str:
    if len(evidence.variants) < 2:
        return "There is one variant, so nothing differs."
    table = tables.difference_table(evidence)
    return _rows(table) if table.rows else "Nothing: all variants have the same settings."


def _rows(table: tables.Table) -> str:
    rows = [[escape(cell) for cell in row] for row in (table.head, *table.rows)]
    return _lines(rows, table.numeric)


def _lines(rows: Sequence[Sequence[str]], numeric: Container[int]) -> str:
    """A table of Markdown; the first row is its head."""
    rule = ["--:" if index in numeric else ":--" for index in range(len(rows[0]))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (rows[0], rule, *rows[1:]))
