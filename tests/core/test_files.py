"""Files are written whole or not at all."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from sharpvae.core.errors import UserError, UserErrors, nearest
from sharpvae.core.files import copy_file, fresh_directory, read_json, write_json, write_text
from tests.processes import go_on, running, told


def test_a_directory_is_replaced_whole(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for content in ("old", "new"):
        with fresh_directory(target) as directory:
            (directory / content).write_text(content)
            assert directory.parent == tmp_path, "a rename across file systems is no rename"
    assert [path.name for path in target.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert target.stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_failure_leaves_what_was_there(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out"
    with fresh_directory(target) as directory:
        (directory / "old").touch()

    def fail_half_way() -> None:
        with fresh_directory(target) as directory:
            (directory / "half").touch()
            raise error

    with pytest.raises(error):
        fail_half_way()
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


WRITE = """
import sys
from pathlib import Path
from sharpvae.core.files import fresh_directory
with fresh_directory(Path(sys.argv[1])) as directory:
    (directory / "a").write_text(sys.argv[2])
    print("writing")
    input()
    (directory / "b").write_text(sys.argv[2])
"""


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with running(WRITE, target, "killed") as process:
        assert told(process) == "writing"
    assert len(list(tmp_path.iterdir())) == 1
    with fresh_directory(target):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_two_processes_write_one_directory_and_the_last_one_wins(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with running(WRITE, target, "one") as one, running(WRITE, target, "two") as two:
        assert told(one) == told(two) == "writing"
        with fresh_directory(target) as directory:  # a third clears nothing of theirs away
            (directory / "a").write_text("three")
        for process, name in ((two, "two"), (one, "one")):
            go_on(process)
            assert process.wait() == 0
            assert {path.name: path.read_text() for path in target.iterdir()} == {
                "a": name, "b": name,
            }  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_many_swaps_at_once_leave_one_whole_directory(tmp_path: Path) -> None:
    code = WRITE.replace('    print("writing")\n    input()\n', "")
    code = code.replace("with fresh", "for _ in range(50):\n  with fresh").replace(
        "\n    ", "\n     "
    )
    target = tmp_path / "out"
    with running(code, target, "one") as one, running(code, target, "two") as two:
        assert one.wait() == two.wait() == 0
    assert (target / "a").read_text() == (target / "b").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_process_killed_between_two_renames_loses_nothing(tmp_path: Path) -> None:
    code = """
import os, signal, sys
from pathlib import Path
from sharpvae.core.files import fresh_directory
with fresh_directory(Path(sys.argv[1])):
    replace = os.replace
    def replace_and_die(source, target):
        replace(source, target)
        os.kill(os.getpid(), signal.SIGKILL)
    os.replace = replace_and_die
"""
    target = tmp_path / "out"
    with fresh_directory(target) as directory:
        (directory / "old").touch()
    with running(code, target) as process:
        assert process.wait() == -signal.SIGKILL
    assert not target.exists()
    with pytest.raises(ValueError, match="fails"), fresh_directory(target):
        raise ValueError("this one fails too")
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_text_is_written_atomically(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "first")

    def refuse(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "second")
    assert path.read_text() == "first"
    assert [found.name for found in tmp_path.iterdir()] == ["a.txt"]


def test_json_keeps_its_order_and_refuses_nan(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": [1.5, None]})
    assert list(read_json(path)) == ["b", "a"]
    with pytest.raises(ValueError, match="JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert json.loads(path.read_text())["b"] == 1


@pytest.mark.parametrize("content", ["", "{", "\xff"])
def test_broken_json_names_the_file(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(UserError, match=r"a\.json"):
        read_json(path)


def test_an_error_has_four_parts_and_several_are_told_together() -> None:
    one, two = UserError("a.b", "1", "2", "mend it"), UserError("c", "3", "4")
    assert str(one).splitlines() == [
        "a.b", "  expected: 1", "  found:    2", "  do this:  mend it",
    ]  # fmt: skip
    assert str(UserErrors([one, two])) == f"{one}\n{two}"


def test_the_nearest_name_is_suggested_and_all_are_listed() -> None:
    assert nearest("betta", ["alpha", "beta"]) == "did you mean 'beta'? valid names: alpha, beta"
    assert nearest("zzz", ["alpha"]) == "valid names: alpha"
    assert nearest("x", []) == "there are no valid names"


def test_a_copy_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"new")
    target = tmp_path / "below" / "target"
    assert copy_file(tmp_path / "source", target) == target
    assert target.read_bytes() == b"new"
    with pytest.raises(FileNotFoundError):
        copy_file(tmp_path / "missing", target)
    assert target.read_bytes() == b"new"
    assert [path.name for path in target.parent.iterdir()] == ["target"]
