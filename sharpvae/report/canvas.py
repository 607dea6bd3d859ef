"""Charts: into the page as SVG, and as PNG files."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.style import context as style

from sharpvae.report.theme import LIGHT, Theme

PANEL = (3.56, 2.4)  # inches, of which a page has 100 pixels: three fit side by side
SQUARE_PANEL = (3.56, 3.4)
WIDE_PANEL = (4.4, 2.7)  # two
_DPI = 120  # of files
_LEFT, _RIGHT, _BOTTOM, _TOP = 0.64, 0.1, 0.48, 0.12  # inches around the axes of a panel
_TITLE, _KEY = 0.2, 0.22  # inches that a title takes, and a line of the legend


class Panel(NamedTuple):
    """One chart."""

    title: str  # what it shows, with the unit
    alt: str  # the same in words, for those who cannot see it
    draw: Callable[[Axes, Theme], None]  # on an empty pair of axes
    size: tuple[float, float] = PANEL  # width and height in inches


def inline(panel: Panel, name: str) -> str:
    """One chart without its title, as what stands between <svg> and </svg> in a page.

    Its colours are the page's variables --ink, --s0 and so on, so that it follows the scheme.
    `name` is unlike that of any other chart in the page, whose marks and clips it keeps apart.
    """
    with style(["default", _settings(LIGHT), {"svg.fonttype": "none", "svg.hashsalt": name}]):
        figure = Figure(figsize=panel.size, dpi=72)
        _margins(figure, panel.size, (1, 1), 0.0, 0.0)
        panel.draw(figure.add_subplot(), LIGHT)
        FigureCanvasSVG(figure)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = text.getvalue().partition("</defs>")[2].rpartition("</svg>")[0]
    drawn = re.sub(r' id="[\w.]+_\d+"|font-family: [^;"]*; ?|<!--.*?-->', "", drawn)
    # hundredths of a point are enough in tags; what is written beside a tick stays
    drawn = re.sub(r"\d+\.\d{3,}(?=[^<>]*>)", lambda number: f"{float(number[0]):.2f}", drawn)
    return re.sub("#[0-9a-f]{6}", lambda colour: _variables()[colour[0]], drawn)


def _variables() -> dict[str, str]:
    named = {getattr(LIGHT, name): name for name in ("paper", "ink", "quiet", "rule", "real")}
    named |= {colour: f"s{index}" for index, colour in enumerate(LIGHT.series)}
    return {colour: f"var(--{name})" for colour, name in named.items()}


def render_sheet(
    panels: Sequence[Panel], variants: Sequence[str], theme: Theme, lines: Mapping[str, str]
) -> bytes:
    """Several charts with titles and one legend, on the theme's paper, as a PNG.

    `lines`: what the legend explains beside the variants -> `solid`, `dashed` or `area`.
    """
    columns = min(len(panels), 3 if len(panels) > 4 else 2)
    rows = -(-len(panels) // columns)
    styles: dict[str, dict[str, Any]] = {
        "solid": {"color": theme.quiet, "lw": 1.2},
        "dashed": {"color": theme.quiet, "lw": 1.2, "ls": "--"},
        "area": {"color": theme.real, "alpha": 0.45, "lw": 7},
    }
    keys: list[dict[str, Any]] = [
        {"color": theme.colour(index), "lw": 2, "label": name}
        for index, name in enumerate(variants)
    ]
    keys += [{**styles[kind], "label": label} for label, kind in lines.items()]
    beside = max(1, min(len(keys), int(panels[0].size[0] * columns / 1.7)))
    legend = _KEY * -(-len(keys) // beside) + 0.1
    size = panels[0].size[0] * columns, (panels[0].size[1] + _TITLE) * rows + legend
    with style(["default", _settings(theme)]):
        figure = Figure(figsize=size, dpi=_DPI)
        _margins(figure, size, (rows, columns), _TITLE, legend)
        for index, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, index + 1)
            panel.draw(axes, theme)
            axes.set_title(panel.title, loc="left", fontsize=9.5, pad=9)
        figure.legend(
            handles=[Line2D([], [], **key) for key in keys], loc="upper left", ncols=beside,
            frameon=False,
        )  # fmt: skip
        buffer = io.BytesIO()
        FigureCanvasAgg(figure)
        # no version of matplotlib in the file: the same inputs give the same bytes
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _margins(
    figure: Figure, size: tuple[float, float], grid: tuple[int, int], title: float, legend: float
) -> None:
    """Leave the same room around all axes, so that they line up; fitting it takes most of the time.

    `size`, `title` and `legend` are in inches, `grid` is rows and columns.
    """
    (width, height), (rows, columns) = size, grid
    beside, above = _LEFT + _RIGHT, _BOTTOM + _TOP + title
    figure.subplots_adjust(
        left=_LEFT / width, right=1 - _RIGHT / width, bottom=_BOTTOM / height,
        top=1 - (_TOP + title + legend) / height,
        wspace=beside / (width / columns - beside),
        hspace=above / ((height - legend) / rows - above),
    )  # fmt: skip


def _settings(theme: Theme) -> dict[str, Any]:
    return {
        "font.size": 9, "text.color": theme.ink, "figure.facecolor": theme.paper,
        "axes.labelcolor": theme.quiet, "axes.edgecolor": theme.quiet, "axes.facecolor": "none",
        "axes.linewidth": 0.7, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "axes.grid.axis": "y", "axes.axisbelow": True, "axes.xmargin": 0.02,
        "grid.color": theme.rule, "grid.linewidth": 0.6,
        "xtick.color": theme.quiet, "ytick.color": theme.quiet,
        "xtick.major.width": 0.7, "ytick.major.width": 0,
    }  # fmt: skip
