"""Workspaces of arms: what stands in them, how failures and interruptions end."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from sharpvae.config.settings import REQUIREMENTS
from sharpvae.proof import workspaces
from sharpvae.proof.workspaces import LOG, Outcome, Workspaces, add_spent, spent
from tests.imports import REPOSITORY

SCRIPT = """\
import pathlib, sys, time
place = pathlib.Path()
if (place / "broken").exists():
    print("a mistake in the arm")
    sys.exit(3)
(place / "began").write_text("")
for _ in range(200 if (place / "long").exists() else 0):
    time.sleep(0.1)
(place / "done").write_text("")
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for name in (*workspaces.CODE, *workspaces.SETTINGS, ".dvc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a_file").write_text(name)
    for name in ("dvc.yaml", ".dvcignore"):
        (tmp_path / name).write_text("")
    (tmp_path / ".dvc/config").write_text("['remote \"here\"']\n    url = ../store\n")
    (tmp_path / "params.yaml").write_text(
        "seeds: [7]\ndata: {name: folder, path: photos, mirror: https://example.org/m}\n"
        "variants: {original: {}, sharp: {}}\n"
    )
    subprocess.run(
        [sys.executable, "-m", "dvc", "init", "--no-scm", "-f", "-q"], cwd=tmp_path, check=True
    )
    (tmp_path / ".dvc/config").write_text("['remote \"here\"']\n    url = ../store\n")
    return tmp_path


@pytest.fixture
def work(repository: Path, monkeypatch: pytest.MonkeyPatch) -> Workspaces:
    """Two arms, and in the place of DVC a program that looks at what stands beside it."""
    made = Workspaces(repository, "trial")
    made.lay({"one": {"loss": {"beta": 1.0}}, "two": {}, "three": {}}, [0, 1])
    command = [sys.executable, "-c", SCRIPT]
    monkeypatch.setattr(workspaces, "_dvc", lambda *arguments: command)
    return made


def test_a_workspace_has_the_code_and_its_arm_alone(work: Workspaces, repository: Path) -> None:
    place = work.place("one")
    params = YAML(typ="safe", pure=True).load(place / "params.yaml")
    assert params["variants"] == {"one": {"loss": {"beta": 1.0}}}
    assert params["seeds"] == [0, 1]
    assert list((place / workspaces.SAMPLES).iterdir()) == []
    assert params["data"]["path"] == str(repository / "photos")
    assert params["data"]["mirror"] == "https://example.org/m"
    copied = (*workspaces.CODE, *workspaces.SETTINGS)
    assert all((place / name / "a_file").exists() for name in copied)
    assert (place / "data/raw").resolve() == repository / "data/raw"
    settings = configparser.ConfigParser()
    settings.read(place / ".dvc/config")
    assert settings["core"]["no_scm"] == "true"
    assert settings["cache"]["dir"] == str(repository / ".dvc/cache")
    assert settings["'remote \"here\"'"]["url"] == str(repository / "store")


def test_a_network_of_the_user_s_own_comes_along(
    work: Workspaces, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what it imports of the repository; that of the arm, or the one that all share."""
    monkeypatch.undo()
    for name, text in {"mine.py": "import parts.one", "parts/one.py": "", "not.py": ""}.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text(text)
    arms = {"own": {"model": {"family": "mine.py:Net"}}, "ours": {"model": {"family": "conv"}}}
    work.lay(arms, [0])
    assert {path.name for path in work.place("own").rglob("*.py")} == {"mine.py", "one.py"}
    assert not list(work.place("ours").rglob("*.py"))
    params = (repository / "params.yaml").read_text()
    (repository / "params.yaml").write_text(f"{params}model: {{family: 'mine.py:Net'}}\n")
    work.lay({"shared": {}}, [0])
    assert (work.place("shared") / "parts/one.py").exists()


def test_data_that_a_claim_names_are_looked_for_in_the_repository(
    work: Workspaces, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    work.lay({"one": {}}, [0], {"data": {"name": "folder", "path": "others"}})
    params = YAML(typ="safe", pure=True).load(work.place("one") / "params.yaml")
    assert params["data"] == {"name": "folder", "path": str(repository / "others")}


def test_laid_again_it_follows_the_code_and_keeps_what_was_made(
    work: Workspaces, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    place = work.place("one")
    (place / "models").mkdir()
    (place / "stages/gone").write_text("")
    (repository / "stages/a_file").write_text("new")
    work.lay({"one": {"loss": {"beta": 2.0}}}, [0])
    assert (place / "stages/a_file").read_text() == "new"
    assert not (place / "stages/gone").exists()
    assert (place / "models").exists()
    assert "beta: 2.0" in (place / "params.yaml").read_text()


def test_a_failed_arm_is_named_and_leaves_the_others_alone(work: Workspaces) -> None:
    (work.place("one") / "broken").write_text("")
    ended: list[Outcome] = []
    failed = work.run(["one", "two", "three"], 2, ended.append)
    assert failed == {"one": "a mistake in the arm"}
    assert {outcome.arm for outcome in ended} == {"one", "two", "three"}
    assert (work.place("two") / "done").exists() and (work.place("three") / "done").exists()
    assert (work.place("one") / LOG).read_text() == "a mistake in the arm\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_what_runs_and_starts_nothing_new(
    work: Workspaces, number: signal.Signals
) -> None:
    (work.place("one") / "long").write_text("")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt() -> None:
        while not (work.place("one") / "began").exists():
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    killer = threading.Thread(target=interrupt)
    killer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            work.run(["one", "two"], 1, lambda outcome: None)
    finally:
        killer.join()
        signal.signal(signal.SIGINT, before)
    assert not (work.place("one") / "done").exists()
    assert not (work.place("two") / "began").exists()
    assert work.run(["one", "two"], 1, _short(work)) == {}


def _short(work: Workspaces):  # type: ignore[no-untyped-def]
    (work.place("one") / "long").unlink()
    return lambda outcome: None


def test_where_the_code_is_a_package_its_version_is_copied(repository: Path) -> None:
    for name in workspaces.CODE:
        shutil.rmtree(repository / name)
    (repository / REQUIREMENTS).write_text("sharpvae==1.0\n")
    made = Workspaces(repository, "trial")
    made.lay({"one": {}}, [0])
    place = made.place("one")
    assert (place / REQUIREMENTS).read_text() == "sharpvae==1.0\n"
    assert all((place / name / "a_file").exists() for name in workspaces.SETTINGS)
    assert not any((place / name).exists() for name in workspaces.CODE)


def test_seconds_add_up_over_calls(tmp_path: Path) -> None:
    assert spent(tmp_path) == 0
    add_spent(tmp_path, 1.5)
    add_spent(tmp_path, 2.0)
    assert spent(tmp_path) == 3.5


def test_what_is_copied_is_what_the_stages_depend_on() -> None:
    """Else an arm would not be what the repository's own variant is."""
    deps = YAML(typ="safe", pure=True).load(REPOSITORY / "dvc.yaml")["stages"]["configure"]["deps"]
    copied = {*workspaces.CODE, *workspaces.SETTINGS, workspaces.SAMPLES}
    assert {path.partition("/")[0] for path in deps} == copied
    assert shutil.which("git") is None or "/experiments" in (REPOSITORY / ".gitignore").read_text()
