"""How much of each campaign is run, and what came of it, as docs/trust.md has it."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from zlib import crc32

import pytest

from tests.hostile.campaign import FAST, PROPERTY, some

HEAD = ["campaign", "tried", "right", "clear error", "failed", "longest", "most memory"]


@pytest.fixture(scope="session")
def share(pytestconfig: pytest.Config) -> float:
    """Of the faults that are tried."""
    return float(pytestconfig.getoption("--share"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Below a share of 1, fewer inputs of each reader, the first of them, and no `whole` tests; of
    a test for each of many names, without a share of its own, some of these.
    """
    share, dropped = float(config.getoption("--share")), set[pytest.Item]()
    kinds = defaultdict[str, list[pytest.Item]](list)
    for item in items:
        own = item.path.parent == Path(__file__).parent
        if not (own and item.get_closest_marker("slow")):
            continue
        given = item.callspec.params if hasattr(item, "callspec") else {}
        if share < 1 and item.get_closest_marker("whole"):
            dropped.add(item)
        elif "count" in given:
            given["count"] = some(share, given["count"], FAST)
        elif given and "share" not in item.fixturenames:
            kinds[item.originalname].append(item)
    for name, of in kinds.items():  # which of them differs from test to test
        every = min(len(of), max(1, round(1 / share)))
        dropped.update(item for at, item in enumerate(of, crc32(name.encode())) if at % every)
    if dropped:
        config.hook.pytest_deselected(items=[*dropped])
        items[:] = [item for item in items if item not in dropped]


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
