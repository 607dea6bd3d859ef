"""Pictures, tables and sliders as Streamlit shows them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import streamlit as st
from markupsafe import Markup, escape
from numpy.typing import NDArray

from sharpvae.report.pictures import enlargement, tiled

Images = NDArray[np.uint8]  # (N, S, S, C)

TEMPLATES = Path(__file__).parent / "templates"
_LARGE = 256  # pixels of a single picture, as shown


class Shown(NamedTuple):
    """Images in rows, under a line of text."""

    caption: str
    images: Images
    columns: int
    least: int = 0  # pixels that an image should measure, as shown; 0: as in the report


def pictures(*shown: Shown) -> None:
    """Show them beside each other, or one below the other where there is no room."""
    st.html(Markup("").join([Markup('<div class="pictures">'), *map(_figure, shown), _END]))


_END = Markup("</div>")


def _figure(one: Shown) -> Markup:
    side = one.images.shape[2]
    factor = max(1, -(-one.least // side)) if one.least else enlargement(side)
    picture = tiled(one.images, one.columns, factor)
    source = f"data:image/png;base64,{base64.b64encode(picture.png).decode()}"
    return Markup(
        '<figure><figcaption>{}</figcaption><img src="{}" width="{}" height="{}" alt="{}"></figure>'
    ).format(one.caption, source, picture.width, picture.height, one.caption)


def large(caption: str, image: Images) -> Shown:
    """One picture, (S, S, C), enlarged."""
    return Shown(caption, image[None], 1, _LARGE)


def table(columns: Sequence[tuple[str, bool]], rows: Mapping[str, Sequence[str]]) -> None:
    """A table of texts; of each column its heading, and whether it stands beside the others."""
    classes = ['class="beside"' if beside else "" for _, beside in columns]
    heads = (f"<th {c}>{escape(name)}</th>" for c, (name, _) in zip(classes, columns, strict=True))
    lines = [
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td {c}>{escape(v)}</td>" for c, v in zip(classes, values, strict=True))
        + "</tr>"
        for name, values in rows.items()
    ]
    st.html(
        f'<div class="scores"><table><thead><tr><th></th>{"".join(heads)}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def look() -> None:
    """The page's own style."""
    st.html(f"<style>{_text('gallery.css')}</style>")


def sliders(names: Sequence[str], at: Sequence[float], reach: float, serial: str) -> list[float]:
    """A slider from -reach to reach for each name, which answers while it is moved.

    Streamlit's own waits until the hand has rested for a fifth of a second.

    Args:
        at: where they stand at first.
        serial: another one puts all sliders where `at` says.
    """
    key = f"sliders {serial}"
    held = st.session_state.get(key) or {}
    found = _values(held.get("at", at), len(names), reach)
    data = {"names": list(names), "at": found, "reach": reach, "serial": serial}
    answer = _sliders()(data=data, key=key, default={"at": found}, on_at_change=lambda: None)
    return _values(answer.at, len(names), reach)


def _values(given: Any, count: int, reach: float) -> list[float]:
    """What a browser sends may be anything."""
    if not isinstance(given, list) or len(given) != count:
        return [0.0] * count
    numbers = [float(v) if isinstance(v, int | float) and v == v else 0.0 for v in given]
    return [min(reach, max(-reach, value)) for value in numbers]


@cache
def _sliders() -> Any:
    return st.components.v2.component(
        "sharpvae.sliders", html='<div class="rows"></div>', css=_text("sliders.css"),
        js=_text("sliders.js"),
    )  # fmt: skip


@cache
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")
