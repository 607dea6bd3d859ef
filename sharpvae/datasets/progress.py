"""How long work reports on itself without knowing who watches."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What the caller of long work may show."""

    def step(self, title: str, done: int, total: int) -> None:
        """`done` of `total` (bytes or images) of the work called `title`; 0 where unknown."""

    def note(self, text: str) -> None:
        """One sentence that is worth keeping."""


class Silent:
    """Shows nothing."""

    def step(self, title: str, done: int, total: int) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Nothing."""
