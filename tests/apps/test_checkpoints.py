"""Interrupted trainings as the app shows and removes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps import checkpoints as app
from sharpvae.training.checkpoints import Checkpoints, Ticket


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def interrupted(name: str, variant: str, step: int) -> Checkpoints:
    one = Checkpoints(Path(".checkpoints") / name, print)
    with one.held():
        Ticket(variant, 3, "cpu", {"seed": "3"}).write(one.directory)
        one.save(step, {"x": 1})
    return one


def test_each_has_its_line(capsys) -> None:
    interrupted("aa11", "original", 7)
    interrupted("bb22", "improved", 1234)
    (Path(".checkpoints") / "cc33").mkdir()
    assert app.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["aa11", "original", "3", "7"], ["bb22", "improved", "3", "1234"], ["cc33", "?", "?", "-"],
    ]  # fmt: skip


def test_nothing_is_no_mistake(capsys) -> None:
    assert app.main([]) == 0
    assert "no interrupted training" in capsys.readouterr().out


def test_one_is_removed_by_the_beginning_of_its_name(capsys) -> None:
    first, second = interrupted("aa11", "original", 7), interrupted("bb22", "improved", 8)
    assert app.main(["--remove", "bb"]) == 0
    assert first.directory.exists() and not second.directory.exists()
    assert app.main(["--remove", "zz"]) == 1
    assert "zz" in capsys.readouterr().err


def test_an_empty_beginning_removes_nothing(capsys) -> None:
    one = interrupted("aa11", "original", 7)
    assert app.main(["--remove", ""]) == 1
    assert one.directory.exists() and "--remove-all" in capsys.readouterr().err


def test_what_is_in_use_stays(capsys) -> None:
    used, free = interrupted("aa11", "original", 7), interrupted("bb22", "improved", 8)
    with used.held():
        assert app.main(["--remove-all"]) == 0
    assert used.directory.exists() and not free.directory.exists()
    assert "in use" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 seconds ago"), (600, "10 minutes ago"), (7200, "2 hours ago"), (864000, "10 days ago")],
)
def test_times_are_told_in_their_largest_unit(seconds: float, text: str) -> None:
    assert app.ago(seconds) == text
