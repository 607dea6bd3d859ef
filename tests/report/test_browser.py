"""The page in a browser, where there is one: widths, colour schemes, print, no console errors."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse

from sharpvae.core.config import load_stage
from sharpvae.report.evidence import ReportStage, load_evidence
from sharpvae.report.page import build_report
from tests.report.tree import BLURRY, SHARP, write_tree

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
pytestmark = pytest.mark.skipif(not BROWSER, reason="no chromium on this machine")


class Tab:
    """One page, driven through the DevTools protocol."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket, self.numbers = socket, itertools.count(1)
        self.events: list[dict[str, Any]] = []

    async def __call__(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        while True:
            message = json.loads((await self.socket.receive(timeout=30)).data)
            if message.get("id") == number:
                assert "error" not in message, message
                return dict(message["result"])
            self.events.append(message)

    async def until(self, event: str) -> None:
        while not any(seen.get("method") == event for seen in self.events):
            self.events.append(json.loads((await self.socket.receive(timeout=30)).data))

    @property
    def complaints(self) -> list[dict[str, Any]]:
        names = ("Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled")
        return [seen for seen in self.events if seen.get("method") in names]

    async def size(self) -> tuple[int, int]:
        found = (await self("Page.getLayoutMetrics"))["cssContentSize"]
        return round(found["width"]), round(found["height"])

    async def js(self, expression: str) -> Any:
        return (await self("Runtime.evaluate", expression=expression))["result"].get("value")


@asynccontextmanager
async def browser(profile: Path) -> AsyncIterator[Tab]:
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank",
    ]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        address = re.compile(r"ws://(127\.0\.0\.1:\d+)/")
        host = next(found[1] for line in process.stderr if (found := address.search(line)))
        async with ClientSession() as session:
            async with session.get(f"http://{host}/json") as answer:
                pages = [page for page in await answer.json() if page["type"] == "page"]
            async with session.ws_connect(
                pages[0]["webSocketDebuggerUrl"], max_msg_size=0
            ) as socket:
                yield Tab(socket)
    finally:
        process.kill()
        process.communicate()


async def opened(tab: Tab, page: Path, width: int, scheme: str, script: bool) -> None:
    for domain in ("Page", "Runtime", "Log"):
        await tab(f"{domain}.enable")
    await tab("Emulation.setScriptExecutionDisabled", value=not script)
    await tab(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=900, deviceScaleFactor=1, mobile=False,
    )  # fmt: skip
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    await tab("Emulation.setEmulatedMedia", media="", features=features)
    tab.events.clear()
    await tab("Page.navigate", url=page.as_uri())
    await tab.until("Page.loadEventFired")


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_tree(
        tmp_path_factory.mktemp("page"),
        {name: {0: scores} for name, scores in (("original", BLURRY), ("a", SHARP), ("b", SHARP))},
    )
    report = build_report(load_evidence(
        load_stage(root / "configs/report.json", ReportStage), root
    ))  # fmt: skip
    path = root / "report.html"
    path.write_text(report.texts["report.html"], encoding="utf-8")
    return path


def test_the_page_fits_every_width_and_scheme(page: Path, tmp_path: Path) -> None:
    async def look() -> None:
        async with browser(tmp_path) as tab:
            for width, scheme, script in itertools.product(
                (390, 1280, 1920), ("light", "dark"), (True, False)
            ):
                await opened(tab, page, width, scheme, script)
                assert (await tab.size())[0] == width, "nothing is wider than the window"
                assert tab.complaints == []

    asyncio.run(look())


def test_schemes_differ_and_print_is_light(page: Path, tmp_path: Path) -> None:
    async def look() -> None:
        async with browser(tmp_path) as tab:
            paper = "getComputedStyle(document.body).backgroundColor"
            found = []
            for scheme in ("light", "dark"):
                await opened(tab, page, 1280, scheme, True)
                found.append(await tab.js(paper))
            assert found[0] != found[1]
            await tab("Emulation.setEmulatedMedia", media="print", features=[
                {"name": "prefers-color-scheme", "value": "dark"}
            ])  # fmt: skip
            assert await tab.js(paper) == "rgb(255, 255, 255)"
            folded = "[...document.querySelectorAll('details > :not(summary)')].every(e => "
            assert await tab.js(f"{folded}e.checkVisibility())")
            printed = base64.b64decode((await tab("Page.printToPDF"))["data"])
            assert printed.startswith(b"%PDF") and tab.complaints == []

    asyncio.run(look())


def test_reconstructions_flip_in_place_without_script(page: Path, tmp_path: Path) -> None:
    """By the keyboard alone: one strip at a time, and all of them on paper."""
    shown = (
        "[...document.querySelectorAll('.strips figure')]"
        ".filter(f => f.getBoundingClientRect().height).map(f => f.innerText.trim()).join()"
    )

    async def look() -> None:
        async with browser(tmp_path) as tab:
            await opened(tab, page, 1280, "light", True)
            everything = "real test images,original,a,b"
            assert await tab.js(shown) == everything
            await tab.js("document.querySelector('#flip-all').focus()")
            for name in everything.split(","):
                for kind in ("keyDown", "keyUp"):
                    await tab(
                        "Input.dispatchKeyEvent", type=kind, key="ArrowDown", code="ArrowDown",
                        windowsVirtualKeyCode=40,
                    )  # fmt: skip
                assert await tab.js(shown) == name
            await tab("Emulation.setEmulatedMedia", media="print", features=[])
            assert await tab.js(shown) == everything

    asyncio.run(look())
