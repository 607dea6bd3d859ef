"""Progress as a bar on a terminal and as plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

QUIET_SECONDS = 10.0  # without a terminal, at most one line of progress in this time


class Bar:
    """A count of `total` things done, with a note beside it."""

    def __init__(self, title: str, total: int) -> None:
        self.title, self.total, self.done, self.note = title, total, 0, ""

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count `count` more, and change the note where one is given."""
        self.done += count
        self.note = self.note if note is None else note
        self._show()

    def line(self, text: str) -> None:
        """Print one line that stays."""
        print(text, flush=True)

    def _show(self) -> None:
        raise NotImplementedError


class _TerminalBar(Bar):
    def __init__(self, title: str, total: int, progress: Progress) -> None:
        super().__init__(title, total)
        self.progress = progress
        self.task = progress.add_task(title, total=total, note="")

    def line(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False)

    def _show(self) -> None:
        self.progress.update(self.task, completed=self.done, note=self.note)


class _PlainBar(Bar):
    def __init__(self, title: str, total: int) -> None:
        super().__init__(title, total)
        self.shown = time.monotonic()

    def line(self, text: str) -> None:
        self.shown = time.monotonic()
        super().line(text)

    def _show(self) -> None:
        if time.monotonic() - self.shown >= QUIET_SECONDS:
            self.line(f"{self.title}  {self.done}/{self.total}  {self.note}".rstrip())


@contextmanager
def bar(title: str, total: int) -> Iterator[Bar]:
    """A bar for the block: rich where stdout is a terminal, lines where it is not."""
    if not sys.stdout.isatty():
        yield _PlainBar(title, total)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=Console(), transient=True) as progress:
        yield _TerminalBar(title, total, progress)
