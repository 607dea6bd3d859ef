"""Where a network's code is, and of which files; none of it is run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from sharpvae.core.errors import UserError
from sharpvae.vae.reference import Reference, digest, is_own, locate, parse, sources


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The top of a repository, where the stages work, beside a folder of installed packages."""
    (tmp_path / "repository").mkdir()
    (tmp_path / "installed").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path / "installed")])
    return tmp_path / "repository"


def write(place: Path, files: dict[str, str]) -> None:
    """Files below `place`."""
    for name, text in files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_a_reference_has_two_forms() -> None:
    assert parse("a/b.py:Net") == Reference("a/b.py", "Net") and parse("a/b.py:Net").is_file
    assert parse("package.module:Net") == Reference("package.module", "Net")
    assert is_own("a.b:Net") and not is_own("conv") and not is_own(None)


@pytest.mark.parametrize("wrong", [":Net", "a/b:Net", "a.py:", "a.py:Net()", "a.1b:Net", "a b:Net"])
def test_another_form_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match=r"package\.module:Class"):
        parse(wrong)


def test_a_file_counts_with_all_that_it_imports_of_the_repository(place: Path) -> None:
    write(place, {
        "networks/mine.py": "import os, torch\nfrom networks.blocks import Block\n",
        "networks/blocks.py": "def late():\n    import parts.deep.one\n",
        "networks/another.py": "",
        "parts/__init__.py": "from .deep import two\n",
        "parts/deep/one.py": "from . import two\nfrom ..top import *\n",
        "parts/deep/two.py": "from sharpvae.vae.vae import VAE\n",
        "parts/top.py": "",
        "sharpvae/vae/vae.py": "",
    })  # fmt: skip
    found = {"networks/mine.py", "networks/blocks.py", "parts/__init__.py", "parts/deep/one.py",
             "parts/deep/two.py", "parts/top.py"}  # fmt: skip
    assert set(sources("networks/mine.py:Net")) == found
    assert set(sources("networks.mine:Net")) == found
    before = digest("networks/mine.py:Net")
    write(place, {"networks/another.py": "changed = True"})
    assert digest("networks/mine.py:Net") == before
    write(place, {"parts/deep/two.py": "changed = True"})
    assert digest("networks/mine.py:Net") != before


def test_nothing_of_it_is_run(place: Path) -> None:
    write(place, {"net.py": "raise SystemExit", "package/net.py": ""})
    write(place, {"package/__init__.py": "raise SystemExit"})
    assert len(digest("net.py:Net")) == 64
    assert set(sources("package.net:Net")) == {"package/__init__.py", "package/net.py"}
    assert not list(place.rglob("__pycache__"))


def test_of_an_installed_package_every_file_counts(place: Path) -> None:
    installed = place.parent / "installed"
    files = {"nets/__init__.py": "raise SystemExit", "nets/a.py": "", "nets/b/c.py": ""}
    write(installed, files)
    assert set(sources("nets.a:Net")) == set(files)
    write(installed, {"single.py": "import nets.a"})
    assert set(sources("single:Net")) == {"single.py"}
    write(place, {"nets/a.py": ""})
    assert locate("nets.a:Net").package is None, "the repository's own comes first"


@pytest.mark.parametrize(
    ("family", "parts"),
    [
        ("gone.py:Net", ["no file gone.py", "top of the repository"]),
        ("gone.module:Net", ["no module gone.module", "pip install"]),
        ("sys:Net", ["no module sys"]),
        ("wrong.py:Net", ["wrong.py, line 2", "Python can read"]),
        ("null.py:Net", ["null.py"]),
    ],
)
def test_what_is_missing_or_no_python_is_told(place: Path, family: str, parts: list[str]) -> None:
    write(place, {"wrong.py": "\ndef encode(:\n", "null.py": "\0"})
    with pytest.raises(UserError) as caught:
        digest(family)
    for part in [f"model.family: {family}", *parts]:
        assert part in str(caught.value), caught.value
