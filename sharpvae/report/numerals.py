"""Numbers as a reader should see them: enough digits, a true minus sign, none of "-0.00"."""

from __future__ import annotations

import math
from collections.abc import Iterable

from sharpvae.report.scores import Estimate

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def decimals(values: Iterable[float]) -> int:
    """Digits after the point that show about four significant ones of the largest value.

    None for whole numbers; at most four.
    """
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


def percent(value: float) -> str:
    """A fraction as a signed percentage: -0.62 => "-62 %", with a true minus."""
    return f"{fixed(100 * value, 0 if abs(value) >= 0.0995 else 1, signed=True)}\N{NO-BREAK SPACE}%"


def thousands(value: int) -> str:
    """A count in groups of three digits: 12345 => "12 345"."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def with_interval(estimate: Estimate, places: int, signed: bool = False) -> tuple[str, str]:
    """The mean, and "± half-width" or "" for a single seed."""
    half = estimate.half_width
    spread = "" if half is None else f"{PLUS_MINUS}\N{NO-BREAK SPACE}{fixed(half, places)}"
    return fixed(estimate.mean, places, signed), spread


def join(words: Iterable[str]) -> str:
    """A list in prose: "a", "a and b", "a, b and c"."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last
