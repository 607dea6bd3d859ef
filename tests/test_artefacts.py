"""Files are written whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sharpvae.artefacts import fresh_directory, read_json, write_json, write_text
from sharpvae.errors import UserError, UserErrors, nearest


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


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path; "
        "from sharpvae.artefacts import fresh_directory\n"
        "with fresh_directory(Path('out')) as d: os.kill(os.getpid(), signal.SIGKILL)"
    )
    repository = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": repository}
    killed = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 1
    with fresh_directory(tmp_path / "out"):
        pass
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
