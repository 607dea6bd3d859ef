"""Numbers and lists as text."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sharpvae.report.statistics import Interval

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def decimals(values: Iterable[float]) -> int:
    """Digits after the point for about four significant ones of the largest; 0 for integers."""
    finite = [abs(value) for value in values if math.isfinite(value)]
    largest = max(finite, default=0.0)
    if all(value == round(value) for value in finite):
        return 0
    if largest < 1:
        return 4 if largest < 0.1 else 3
    return max(0, 3 - math.floor(math.log10(largest)))


def fixed(value: float, places: int, signed: bool = False) -> str:
    """`value` with `places` digits after the point, and a plus sign if `signed`."""
    text = f"{abs(value):.{places}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def short(value: float) -> str:
    """`value` with two significant digits, or all before the point: 0.33, 7.1, 1500."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    return fixed(value, min(max(0, 1 - math.floor(math.log10(abs(value)))), 4))


def thousands(value: int) -> str:
    """A count in groups of three digits: "12 345"."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def with_interval(
    estimate: Interval, places: int, signed: bool = False, source: str = "seeds"
) -> tuple[str, str]:
    """The mean, and "± half-width", or "" where there is no interval over `source`."""
    half = estimate.half_width if source in estimate.sources else None
    spread = "" if half is None else f"{PLUS_MINUS}\N{NO-BREAK SPACE}{fixed(half, places)}"
    return fixed(estimate.centre, places, signed), spread


def join(words: Iterable[str]) -> str:
    """A list in prose: "a", "a and b", "a, b and c"."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last
