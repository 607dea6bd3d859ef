"""Bars of bytes and of images: how much, how fast, how long still."""

from __future__ import annotations

import io
import sys
from contextlib import closing

import pytest
from rich.console import Console
from rich.progress import Progress

from sharpvae.core import console as progress
from sharpvae.core.console import Display, bar


class Clock:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(progress, "time", made)
    return made


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_a_resumed_download_counts_only_what_came_since(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Display()) as display:
        display.step("downloading a.gz", 40_000_000, 100_000_000, unit="bytes")
        clock.now += 5
        display.step("downloading a.gz", 50_000_000, 100_000_000, unit="bytes")
        clock.now += 5
        display.step("downloading a.gz", 60_000_000, 100_000_000, unit="bytes")
    assert printed(capsys) == ["downloading a.gz  60.0/100.0 MB  2.0 MB/s  0:20 left"]


def test_a_download_that_starts_over_has_a_new_rate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Display()) as display:
        display.step("downloading a.gz", 40_000_000, 100_000_000, unit="bytes")
        clock.now += 9
        display.step("downloading a.gz", 0, 100_000_000, unit="bytes")
        clock.now += 10
        display.step("downloading a.gz", 10_000_000, 100_000_000, unit="bytes")
    assert printed(capsys) == ["downloading a.gz  10.0/100.0 MB  1.0 MB/s  1:30 left"]


def test_images_are_counted_with_their_rate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with closing(Display()) as display:
        display.step("decoding", 0, 40_000)
        clock.now += 10
        display.step("decoding", 90, 40_000)
        clock.now += 3600
        display.step("decoding", 9025, 40_000)
    assert printed(capsys) == [
        "decoding  90/40000  9.0 images/s  1:13:54 left",
        "decoding  9025/40000  2.5 images/s  3:26:30 left",
    ]


def test_without_a_total_there_is_no_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for unit in ("bytes", "images"):
        with bar("some", 0, unit) as shown:
            clock.now += 10
            shown.advance(3_000_000)
    assert printed(capsys) == ["some  3.0 MB  0.3 MB/s", "some  3000000  300000 images/s"]


def test_a_bar_of_no_unit_shows_its_note(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with bar("training", 8) as shown:
        shown.advance(note="loss 1")
        clock.now += 10
        shown.advance(note="loss 0.5")
    assert printed(capsys) == ["training  2/8  loss 0.5"]


@pytest.mark.parametrize(
    ("unit", "start", "expected"),
    [
        ("bytes", 40_000_000, ("60.0/100.0 MB", "B/s")),
        ("images", 40_000_000, ("60000000/100000000", "images/s")),
        ("", 0, ("20%", "noted")),
    ],
)
def test_a_terminal_shows_amount_and_rate(
    monkeypatch: pytest.MonkeyPatch, unit: str, start: int, expected: tuple[str, ...]
) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=150, color_system=None)
    monkeypatch.setattr(progress, "Console", lambda: console)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    with bar("work [a]", 100_000_000, unit, start) as shown:
        shown.advance(10_000_000, note="noted")
        shown.advance(10_000_000)
        shown.line("a line that stays [b]")
    text = screen.getvalue()
    assert isinstance(shown.progress, Progress)
    for part in ("work [a]", "a line that stays [b]", *expected):
        assert part in text, part
