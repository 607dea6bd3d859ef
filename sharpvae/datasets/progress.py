"""How long work reports on itself without knowing who watches."""

from __future__ import annotations

from typing import Literal, Protocol

Unit = Literal["bytes", "images"]


class Progress(Protocol):
    """What the caller of long work may show."""

    def step(self, title: str, done: int, total: int, unit: Unit = "images") -> None:
        """`done` of `total` of the work called `title`; a total of 0 where unknown.

        What the first step of a title calls done was there before, and took none of its time.
        """

    def note(self, text: str) -> None:
        """One sentence that is worth keeping."""


class Silent:
    """Shows nothing."""

    def step(self, title: str, done: int, total: int, unit: Unit = "images") -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
