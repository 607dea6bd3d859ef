"""Names that would run as markup or in a shell: in every page and message they are text."""

from __future__ import annotations

import ast
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from tests.imports import PACKAGES, REPOSITORY
from tests.processes import printed
from tests.scoring.pictures import discs
from tests.toy import passes, toy

NAMES = (
    "<script>alert(1)<b>", '"><img src=x onerror=alert(1)>', "$(touch pwned)", "`touch pwned`",
    "; touch pwned", "' || touch pwned '", "a\nb | c", "evil\u202egnp", "[x](javascript:alert(1))",
    "\u00e9" * 127 + "a", "--help", "*", "__init__", "&lt;i&gt;", "{{ 7 * 7 }}", "%s%n",
)  # fmt: skip
# What reads foreign bytes as code, and what hands text to a shell.
FORBIDDEN = {
    "eval", "exec", "pickle.load", "pickle.loads", "pickle.Unpickler", "os.system", "os.popen",
    "yaml.load", "yaml.unsafe_load", "yaml.full_load", "marshal.loads", "shelve.open",
    "joblib.load", "subprocess.getoutput", "torch.jit.load", "torch.hub.load",
}  # fmt: skip


class _Page(HTMLParser):
    """The text of a page, and what of it would run or be fetched."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text: list[str] = []
        self.runs: list[str] = []
        self._in_script = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._in_script = tag == "script"
        for name, value in attributes:
            remote = name == "src" and re.match(r"(?!data:)\w*:|//", value or "")
            if name.startswith("on") or "javascript:" in (value or "") or (remote and tag == "img"):
                self.runs.append(self.get_starttag_text() or tag)

    def handle_endtag(self, tag: str) -> None:
        self._in_script = False

    def handle_data(self, data: str) -> None:
        if self._in_script and "alert(" in data:
            self.runs.append(data)
        elif not self._in_script:
            self.text.append(data)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """All stages on images whose classes and files are called so; what `prepare` said."""
    place = tmp_path_factory.mktemp("text")
    for index, name in enumerate(NAMES):
        folder = place / "mine" / name
        folder.mkdir(parents=True)
        for count, image in enumerate(discs(16, index, 24)):
            Image.fromarray(image[..., 0]).save(folder / f"{count}.png")
        (folder / f"{name[:40]}.png").write_bytes(b"no image")

    def change(text: str) -> str:
        shared, _, _ = text.partition("\nvariants:\n")
        return (
            shared.replace("  name: mnist5k ", "  name: folder ").replace(
                "  path: null ", "  path: mine ", 1
            )
            + "\nvariants:\n  improved: {model: {conditional: true}}\n"
        )

    toy(place, change)
    for name in ("configure", "critic", "reference", "report"):
        if name == "critic":
            said = passes(place, "prepare")
        if name == "report":
            for stage in ("train", "sample", "evaluate"):
                passes(place, stage, "improved", "0")
        passes(place, name)
    return place, said


@pytest.mark.slow
def test_no_page_runs_a_name(finished) -> None:
    place, said = finished
    assert f"{len(NAMES)} files" in said
    assert not list(place.rglob("pwned"))
    page = _Page((place / "reports/report.html").read_text())
    assert page.runs == []
    text = (place / "reports/report.md").read_text()
    assert _Page(MarkdownIt("commonmark", {"html": True}).enable("table").render(text)).runs == []


@pytest.mark.slow
def test_a_terminal_is_told_no_more_than_text(finished) -> None:
    _, said = finished
    assert not set(said) & set("\x1b\u202e")
    assert all(line.isprintable() for line in said.splitlines())


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_samples_are_scored_whatever_their_folder_is_called(tmp_path: Path, name: str) -> None:
    for folder, seed in ((name, 0), ("reals", 1)):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "images.npy", discs(120, seed, 16))
    said = printed(tmp_path, "score", f"./{name}/images.npy", "--real", "reals/images.npy")
    assert not set(said) & set("\x1b\u202e")
    assert sorted(os.listdir(tmp_path)) == sorted(
        [name, "reals", "score.html", "score.json", "score.md"]
    )
    page = _Page((tmp_path / "score.html").read_text())
    assert page.runs == []


def test_nothing_here_reads_bytes_as_code_or_gives_text_to_a_shell() -> None:
    found = []
    for path in (path for package in PACKAGES for path in (REPOSITORY / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if (
                called in FORBIDDEN
                or given.get("shell") == "True"
                or given.get("allow_pickle", "False") != "False"
                or (called == "torch.load" and given.get("weights_only") != "True")
            ):
                found.append(f"{path.relative_to(REPOSITORY)}:{node.lineno}: {called}")
    assert found == []
