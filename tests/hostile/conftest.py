"""How much of each campaign is run, and what came of it, as docs/trust.md has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.hostile.campaign import FAST, PROPERTY, some

HEAD = ["campaign", "tried", "right", "clear error", "failed", "longest", "most memory"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Known where `tests/hostile` is named on the command line; elsewhere all is run."""
    parser.addoption("--share", type=float, default=1.0, help="of all inputs and faults, to 1")


@pytest.fixture(scope="session")
def share(pytestconfig: pytest.Config) -> float:
    """Of the faults that are tried."""
    return float(pytestconfig.getoption("--share", 1.0))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Campaigns of ten thousand inputs get fewer where `--share` says so: the first of them."""
    share = config.getoption("--share", 1.0)
    for item in items:
        own = item.path.parent == Path(__file__).parent and hasattr(item, "callspec")
        given = item.callspec.params if own else {}
        if given.get("count", 0) > FAST:
            given["count"] = some(share, given["count"], FAST)


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
