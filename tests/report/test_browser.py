"""The page in a browser, where there is one: widths, colour schemes, print, no console errors."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sharpvae.core.config import load_stage
from sharpvae.report.evidence import ReportStage, load_evidence
from sharpvae.report.page import build_report
from tests.browser import browser, needs_browser, opened, width
from tests.report.tree import BLURRY, SHARP, write_tree

pytestmark = needs_browser


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = write_tree(
        tmp_path_factory.mktemp("page"),
        {name: {0: scores} for name, scores in (("original", BLURRY), ("a", SHARP), ("b", SHARP))},
    )
    report = build_report(load_evidence(
        load_stage(root / "configs/report.json", ReportStage), root
    ))  # fmt: skip
    path: Path = root / "report.html"
    path.write_text(report.texts["report.html"], encoding="utf-8")
    return path.as_uri()


def test_the_page_fits_every_width_and_scheme(chromium: Browser, page: str) -> None:
    for wide, scheme, script in itertools.product(
        (390, 1280, 1920), ("light", "dark"), (True, False)
    ):
        tab, complaints = opened(chromium, wide, scheme, script)
        tab.goto(page)
        assert width(tab) == wide, "nothing is wider than the window"
        assert complaints == []
        tab.context.close()


def test_schemes_differ_and_print_is_light(chromium: Browser, page: str) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    found = []
    for scheme in ("light", "dark"):
        tab, complaints = opened(chromium, 1280, scheme)
        tab.goto(page)
        found.append(tab.evaluate(paper))
    assert found[0] != found[1]
    tab.emulate_media(media="print", color_scheme="dark")
    assert tab.evaluate(paper) == "rgb(255, 255, 255)"
    folded = "[...document.querySelectorAll('details > :not(summary)')].every(e => "
    assert tab.evaluate(f"{folded}e.checkVisibility())")
    assert tab.pdf().startswith(b"%PDF") and complaints == []


def test_reconstructions_flip_in_place_without_script(chromium: Browser, page: str) -> None:
    """By the keyboard alone: one strip at a time, and all of them on paper."""
    shown = (
        "[...document.querySelectorAll('.strips figure')]"
        ".filter(f => f.getBoundingClientRect().height).map(f => f.innerText.trim()).join()"
    )
    tab, _ = opened(chromium, 1280, "light", script=False)
    tab.goto(page)
    everything = "real test images,original,a,b"
    assert tab.evaluate(shown) == everything
    tab.focus("#flip-all")
    for name in everything.split(","):
        tab.keyboard.press("ArrowDown")
        assert tab.evaluate(shown) == name
    tab.emulate_media(media="print")
    assert tab.evaluate(shown) == everything
