"""How a command talks and ends: progress, one message for a mistake, one exit code an ending."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from sharpvae.core.errors import UserError, visible
from sharpvae.core.files import NAME, worded

QUIET_SECONDS = 10.0  # without a terminal, at most one line of progress in this time


class Bar:
    """A count of `total` things done (0 where unknown), with a note beside it.

    Args:
        unit: `bytes`, or what the things are called; then amount, rate and time left are shown.
        start: what was done before, and so is no part of the rate.
    """

    def __init__(self, title: str, total: int, unit: str = "", start: int = 0) -> None:
        self.title, self.total, self.unit, self.done, self.note = title, total, unit, start, ""

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count `count` more, and change the note where one is given."""
        self.done += count
        self.note = self.note if note is None else note
        self._show()

    def line(self, text: str) -> None:
        """Print one line that stays; what a stranger's text holds commands no terminal."""
        self._print(visible(text, keep="\n"))

    def _print(self, text: str) -> None:
        print(text, flush=True)

    def _show(self) -> None:
        raise NotImplementedError


class _TerminalBar(Bar):
    def __init__(
        self, title: str, total: int, unit: str, start: int, progress: RichProgress
    ) -> None:
        super().__init__(title, total, unit, start)
        self.progress = progress
        self.task = progress.add_task(title, total=total or None, completed=start, note="")

    def _print(self, text: str) -> None:
        self.progress.console.print(text, markup=False, highlight=False)

    def _show(self) -> None:
        self.progress.update(self.task, completed=self.done, note=self.note)


class _PlainBar(Bar):
    def __init__(self, title: str, total: int, unit: str, start: int) -> None:
        super().__init__(title, total, unit, start)
        self.start, self.began = start, time.monotonic()
        self.shown = self.began

    def line(self, text: str) -> None:
        self.shown = time.monotonic()
        super().line(text)

    def _show(self) -> None:
        now = time.monotonic()
        if now - self.shown >= QUIET_SECONDS:
            pace = _pace(self, (self.done - self.start) / max(now - self.began, 1e-9))
            self.line(f"{self.title}  {pace}  {self.note}".rstrip())


def _pace(bar: Bar, rate: float) -> str:
    """How much is done, and where the unit is known, how fast, and how long it still takes."""
    if bar.unit == "bytes":
        of = f"/{bar.total / 1e6:.1f}" if bar.total else ""
        text = f"{bar.done / 1e6:.1f}{of} MB  {rate / 1e6:.1f} MB/s"
    elif bar.unit:
        text = f"{bar.done}{f'/{bar.total}' if bar.total else ''}  {_speed(rate, bar.unit)}"
    else:
        return f"{bar.done}/{bar.total}"
    return text + (f"  {clock((bar.total - bar.done) / rate)} left" if bar.total and rate else "")


def _speed(rate: float, unit: str) -> str:
    return f"{rate:.{0 if rate >= 10 else 1}f} {unit}/s"


def clock(seconds: float) -> str:
    """Seconds as `m:ss`, or `h:mm:ss`."""
    minutes, rest = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class _RateColumn(ProgressColumn):
    """Things a second, as rich has it for bytes alone."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self.unit = unit

    def render(self, task: Task) -> Text:
        return Text("" if not task.speed else _speed(task.speed, self.unit), "progress.data.speed")


def _columns(unit: str, left: bool) -> tuple[ProgressColumn, ...]:
    """What a terminal shows of a bar, from left to right."""
    amount: tuple[ProgressColumn, ...] = (TextColumn("{task.fields[note]}", markup=False),)
    if unit == "bytes":
        amount = (DownloadColumn(), TransferSpeedColumn())
    elif unit:
        amount = (MofNCompleteColumn(), _RateColumn(unit))
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        *amount,
        *([TimeRemainingColumn(compact=True)] if left else []),
    )


@contextmanager
def bar(title: str, total: int, unit: str = "", start: int = 0, left: bool = True) -> Iterator[Bar]:
    """A `Bar` for the block: rich where stdout is a terminal, lines where it is not.

    `left`: whether a terminal shows the time left; false where the note has it.
    """
    if not sys.stdout.isatty():
        yield _PlainBar(title, total, unit, start)
        return
    with RichProgress(*_columns(unit, left), console=Console(), transient=True) as progress:
        yield _TerminalBar(title, total, unit, start, progress)


INTERRUPTED = 130  # as a shell reports Ctrl-C; never 0, or DVC would cache a cut-off output


_OF_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EPIPE, errno.EIO, errno.EBADF)
UNREAD = 141  # as a shell reports a program whose reader has gone


def settle() -> None:
    """Let everything be printed: `\\u2026` for what the encoding lacks, and nowhere if closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # the handle is free, and the next file to be opened would get it
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def terminal(width: int | None = None, file: TextIO | None = None) -> Console:
    """Prints tables and text as they are: brackets and colons in them are no markup or emoji.

    Into a `file` it prints plain text, in a notebook too, where rich would show it by itself.
    """
    plain: dict[str, Any] = {"color_system": None, "force_jupyter": False} if file else {}
    return Console(width=width, file=file, markup=False, emoji=False, **plain)


def exit_code(work: Callable[[], None], interrupted: str = "") -> int:
    """Do `work`; 0 where it ends well, 1 after a mistake that the user can mend, 130 on Ctrl-C.

    A disk that is full, a folder that is not to be written to and the like are such mistakes.

    Args:
        work: what it raises besides is a fault of the program and keeps its traceback.
        interrupted: what to print on Ctrl-C where the exception has no message.
    """
    settle()
    try:
        work()
        sys.stdout.flush()
    except UserError as error:
        return _failed(error)
    except OSError as error:
        if _of_output(error):
            return _unprinted(error)
        if error.errno == errno.EBADF and _while_interrupted(error):
            return _interrupted(interrupted)  # within shutil.rmtree, which then closes twice
        wrong = worded(error)
        if wrong is None:
            raise
        return _failed(wrong)
    except KeyboardInterrupt as interruption:
        return _interrupted(str(interruption) or interrupted)
    return 0


def _while_interrupted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _interrupted(said: str) -> int:
    print(": ".join(filter(None, ["interrupted", said])), file=sys.stderr)
    return INTERRUPTED


def _failed(error: UserError) -> int:
    with suppress(OSError):  # of a full disk that both streams go to
        sys.stdout.flush()
    with suppress(OSError):
        print(f"error: {error}", file=sys.stderr)
    return 1


def _of_output(error: OSError) -> bool:
    """Whether it is of what was printed: an empty line then fails in the same way."""
    if error.errno not in _OF_OUTPUT:
        return False
    try:
        print(flush=True)
    except OSError as again:
        return again.errno == error.errno
    return False


def _unprinted(error: OSError) -> int:
    with suppress(OSError):  # or Python would try once more, and complain, when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        return UNREAD
    expected = "a place that takes what is printed"
    return _failed(UserError("standard output", expected, error.strerror or str(error)))


_ARGUMENTS = {  # name -> what the argument has to look like, and in words
    "variant": (NAME, "the name of a variant, as in params.yaml"),
    "seed": ("0|[1-9][0-9]{0,18}", "a whole number, one of the seeds in params.yaml"),
}


def run(stage: Callable[..., None], arguments: Sequence[str], *names: str) -> None:
    """Call `stage` with the arguments of its command line and exit as DVC needs it to.

    Args:
        stage: takes one string for each of `names`.
        arguments: the program as it was called, and what stands after it.
        names: of the arguments, as the usage line shows them: `variant`, `seed`.
    """
    program, *given = arguments
    if len(given) != len(names):
        usage = ["usage: python -m", f"stages.{Path(program).stem}", *(f"<{n}>" for n in names)]
        print(" ".join(usage), file=sys.stderr)
        sys.exit(2)

    def checked() -> None:
        for name, value in zip(names, given, strict=True):
            form, expected = _ARGUMENTS.get(name, (".*", ""))
            if not re.fullmatch(form, value):
                raise UserError(f"<{name}>", expected, repr(value))
        stage(*given)

    sys.exit(exit_code(checked, "no output was written"))


Unit = Literal["bytes", "images"]


class Progress:
    """What the caller of long work may show; this one shows nothing."""

    def step(self, title: str, done: int, total: int, unit: Unit = "images") -> None:
        """`done` of `total` of the work called `title`; a total of 0 where unknown.

        What the first step of a title calls done was there before, and took none of its time.
        """

    def note(self, text: str) -> None:
        """One sentence that is worth keeping."""


class Display(Progress):
    """Shows each step of the work as a bar of its own."""

    def __init__(self) -> None:
        self._bars = ExitStack()
        self._bar: Bar | None = None

    def close(self) -> None:
        """Take the last bar away."""
        self._bars.close()

    def step(self, title: str, done: int, total: int, unit: Unit = "images") -> None:
        """Move the bar of `title`; a new one where the title is new, or the work starts over."""
        old = self._bar
        if old is None or (title, total) != (old.title, old.total) or done < old.done:
            self._bars.close()
            self._bar = old = self._bars.enter_context(bar(title, total, unit, done))
        old.advance(done - old.done)

    def note(self, text: str) -> None:
        """Print a line that stays."""
        if self._bar is None:
            print(visible(text, keep="\n"), flush=True)
        else:
            self._bar.line(text)
