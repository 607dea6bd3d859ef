"""The colours of pages, pictures and charts."""

from __future__ import annotations

from typing import NamedTuple


class Theme(NamedTuple):
    """The colours of one colour scheme, as #rrggbb."""

    name: str  # "light" or "dark"
    paper: str
    tint: str  # raised background
    ink: str
    quiet: str  # secondary text
    rule: str  # lines
    real: str  # the real images
    series: tuple[str, ...]  # one per variant; they repeat after the last

    def colour(self, index: int) -> str:
        """The colour of the variant at `index`."""
        return self.series[index % len(self.series)]


# Okabe and Ito's hues first (told apart with any colour vision), then Tol's; each is darkened or
# lightened until it has a contrast of at least 3:1 with its background.
LIGHT = Theme(
    name="light", paper="#fefdfb", tint="#f3f1ec",
    ink="#1d1c1a", quiet="#5f5c56", rule="#dcd8d0", real="#8d8a83",
    series=(
        "#c2560a", "#0868a6", "#00805d", "#c8619b", "#4b3fa0", "#9a7200", "#3d8fbf", "#882255",
        "#6f7a1f", "#2f8b83",
    ),
)  # fmt: skip
DARK = Theme(
    name="dark", paper="#16171a", tint="#222327",
    ink="#e9e6df", quiet="#a5a19a", rule="#3a3b3f", real="#8d8a83",
    series=(
        "#f0894a", "#5fb4ec", "#2fc198", "#e594c2", "#a79df0", "#e8cf4f", "#bfe1f7", "#e06a9a",
        "#b9c35c", "#6fd0c6",
    ),
)  # fmt: skip
