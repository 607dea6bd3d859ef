"""Debian's chromium, where there is one, and what it complains of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
needs_browser = pytest.mark.skipif(not BROWSER, reason="no chromium on this machine")


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser without a window."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        try:
            yield started
        finally:
            started.close()


def opened(
    browser: Browser, width: int, scheme: Any, script: bool = True
) -> tuple[Page, list[str]]:
    """An empty page, and the list to which its errors and warnings come."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=script
    )
    page, complaints = context.new_page(), list[str]()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda told: complaints.append(told.text) if told.type in _BAD else None)
    return page, complaints


_BAD = ("error", "warning")


def width(page: Page) -> int:
    """How wide the page is with all that overflows it."""
    return int(page.evaluate("document.documentElement.scrollWidth"))
