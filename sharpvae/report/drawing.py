"""How a chart becomes a PNG: its size, its colours, its title and its legend."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.style import context as style

from sharpvae.report.palette import Theme

DPI = 200  # a panel is shown at half its pixels, so that it is crisp on a fine screen
PANEL = (3.56, 2.4)  # inches: three fit side by side
WIDE_PANEL = (4.4, 2.7)  # two


@dataclass(frozen=True)
class Panel:
    """One chart.

    Attributes:
        key: short name, unique within the report.
        title: what it shows, with the unit.
        alt: what one would tell somebody who cannot see it.
        draw: draws it on an empty pair of axes.
        size: width and height in inches.
    """

    key: str
    title: str
    alt: str
    draw: Callable[[Axes, Theme], None]
    size: tuple[float, float] = PANEL


def render(panel: Panel, theme: Theme) -> bytes:
    """One chart without its title, on a transparent ground, as a PNG."""
    with style(["default", _settings(theme)]):
        figure = Figure(figsize=panel.size, dpi=DPI, layout="constrained")
        panel.draw(figure.add_subplot(), theme)
        return _png(figure, transparent=True)


def render_sheet(
    panels: Sequence[Panel], variants: Sequence[str], theme: Theme, split_key: bool
) -> bytes:
    """Several charts with titles and one legend, on the theme's paper, as a PNG.

    Args:
        split_key: whether the legend explains dashed and solid lines (else, the real images).
    """
    columns = min(len(panels), 3 if len(panels) > 4 else 2)
    rows = -(-len(panels) // columns)
    with style(["default", _settings(theme)]):
        width, height = panels[0].size
        size = (width * columns, (height + 0.25) * rows + 0.4)
        figure = Figure(figsize=size, dpi=DPI * 0.6, layout="constrained")
        for index, panel in enumerate(panels):
            axes = figure.add_subplot(rows, columns, index + 1)
            panel.draw(axes, theme)
            axes.set_title(panel.title, loc="left", fontsize=9.5, pad=9)
        figure.legend(
            handles=_handles(variants, theme, split_key), loc="outside upper left",
            ncols=min(len(variants) + 2, 6), frameon=False,
        )  # fmt: skip
        return _png(figure, transparent=False)


def _handles(variants: Sequence[str], theme: Theme, split_key: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=theme.colour(index), lw=2, label=name)
        for index, name in enumerate(variants)
    ]
    if split_key:
        handles.append(Line2D([], [], color=theme.quiet, lw=1.2, label="validation"))
        handles.append(Line2D([], [], color=theme.quiet, lw=1.2, ls="--", label="train"))
    else:
        handles.append(Line2D([], [], color=theme.real, alpha=0.45, lw=7, label="real test images"))
    return handles


def _settings(theme: Theme) -> dict[str, Any]:
    return {
        "font.size": 9,
        "text.color": theme.ink,
        "axes.labelcolor": theme.quiet,
        "axes.edgecolor": theme.quiet,
        "axes.facecolor": "none",
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.xmargin": 0.02,
        "grid.color": theme.rule,
        "grid.linewidth": 0.6,
        "xtick.color": theme.quiet,
        "ytick.color": theme.quiet,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0,
        "figure.facecolor": theme.paper,
    }


def _png(figure: Figure, transparent: bool) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    # no version of matplotlib in the file: the same inputs give the same bytes
    figure.savefig(buffer, format="png", transparent=transparent, metadata={"Software": None})
    return buffer.getvalue()
