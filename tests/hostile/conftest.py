"""Prints what came of each campaign, as docs/trust.md has it."""

from __future__ import annotations

import pytest

from tests.hostile.campaign import PROPERTY

HEAD = ["campaign", "tried", "right", "clear error", "failed", "longest", "most memory"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A table with a row for each campaign that was run."""
    rows = [
        value
        for key in ("passed", "failed")
        for report in terminalreporter.stats.get(key, [])
        for name, value in report.user_properties
        if name == PROPERTY
    ]
    if rows:
        terminalreporter.section("campaigns")
        for row in [HEAD, ["--", *["--:"] * 6], *sorted(rows)]:
            terminalreporter.write_line(f"| {' | '.join(row)} |")
