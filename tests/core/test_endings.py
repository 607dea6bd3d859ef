"""Every ending of a command: one message and one exit code, whatever the machine does."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import nn

from sharpvae.core.console import INTERRUPTED, UNREAD, exit_code, run
from sharpvae.core.errors import UserError, visible
from sharpvae.core.files import fresh_directory, require_writable, write_text
from sharpvae.core.system import placed
from sharpvae.core.weights import save_weights
from tests.datasets.samples import small_disk
from tests.processes import REPOSITORY


def ending(work: Callable[[], None], capsys: pytest.CaptureFixture[str]) -> str:
    """What is said where `work` fails for a reason that the user can mend."""
    assert exit_code(work) == 1
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "found"),
    [
        (errno.ENOSPC, "the disk is full: "),
        (errno.EDQUOT, "the disk quota is used up: "),
        (errno.EACCES, "Permission denied"),
        (errno.EROFS, "Read-only file system"),
        (errno.EIO, "Input/output error"),
        (errno.ENOENT, "No such file"),
        (errno.ESTALE, "Stale file handle"),
    ],
)
def test_an_error_of_the_system_is_one_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, number: int, found: str
) -> None:
    def work() -> None:
        with fresh_directory(tmp_path / "out"):
            raise OSError(number, os.strerror(number))  # as a write to an open file, without a name

    said = ending(work, capsys)
    assert found in said and str(tmp_path) in said
    assert list(tmp_path.iterdir()) == []


def test_a_fault_of_the_program_keeps_its_traceback() -> None:
    def work() -> None:
        raise OSError("of nothing in particular")

    with pytest.raises(OSError, match="nothing in particular"):
        exit_code(work)


def test_a_target_below_a_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "models").write_text("not a folder")
    target = tmp_path / "models/improved/0"
    for work in (lambda: require_writable(target), lambda: write_text(target, "")):
        said = ending(work, capsys)
        assert str(tmp_path / "models") in said and "out of the way" in said


def test_asking_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "models/other").mkdir(parents=True)
    require_writable(tmp_path / "models/mine/0")
    require_writable(tmp_path / "film/mine/0")
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "models", tmp_path / "models/other"]


def test_what_numpy_shutil_and_safetensors_hide_is_found(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "64k") as disk:

        def numpys() -> None:
            np.save(disk / "a.npy", np.zeros(1 << 20))

        def shutils() -> None:
            (tmp_path / "tree").mkdir()
            (tmp_path / "tree/a").write_bytes(bytes(1 << 20))
            shutil.copytree(tmp_path / "tree", disk / "tree")

        def safetensors() -> None:
            save_weights(disk / "a.safetensors", nn.Linear(1 << 10, 1 << 10))

        for write in (numpys, shutils, safetensors):
            with pytest.raises(OSError, match="No space") as caught, placed(disk / "out"):
                write()
            assert caught.value.filename is not None


def test_a_write_that_numpy_cannot_do_on_a_disk_with_room_is_a_fault_of_the_disk(
    tmp_path: Path,
) -> None:
    with pytest.raises(OSError, match="output error") as caught, placed(tmp_path / "out"):
        raise OSError("3 requested and 0 written")
    assert caught.value.filename == str(tmp_path / "out")


def test_an_interruption_has_its_reason_or_none(capsys: pytest.CaptureFixture[str]) -> None:
    def work(*reason: str) -> None:
        raise KeyboardInterrupt(*reason)

    assert exit_code(work) == INTERRUPTED
    assert exit_code(work, "no output was written") == INTERRUPTED
    assert exit_code(lambda: work("in epoch 3"), "no output was written") == INTERRUPTED
    assert capsys.readouterr().err.splitlines() == [
        "interrupted",
        "interrupted: no output was written",
        "interrupted: in epoch 3",
    ]


def test_an_interruption_is_one_where_python_then_closes_a_file_twice(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def work() -> None:
        with placed(tmp_path):
            try:
                raise KeyboardInterrupt
            finally:
                os.close(1 << 20)

    assert exit_code(work) == INTERRUPTED
    assert capsys.readouterr().err == "interrupted\n"


@pytest.mark.parametrize(
    "arguments",
    [("improved", "abc"), ("improved", "../../../x"), ("../x", "0"), ("improved", "9" * 400),
     ("a" * 300, "0"), ("improved", "-1"), ("improved", "01"), ("", "0")],
)  # fmt: skip
def test_arguments_are_names_and_numbers(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, str]
) -> None:
    def main(variant: str, seed: str) -> None:
        raise AssertionError("called")

    with pytest.raises(SystemExit) as caught:
        run(main, ["stages/train.py", *arguments], "variant", "seed")
    assert caught.value.code == 1
    assert "error: <" in capsys.readouterr().err


HOSTILE = "a\x1b[31m\x9bb\u202egnp.\u2028\r\n\x07"


def test_what_commands_a_terminal_is_spelt_out(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise UserError(HOSTILE, "b", HOSTILE, "c\nd")

    said = ending(work, capsys)
    assert not set(said) & set("\x1b\x9b\u202e\u2028\r\x07")
    assert r"a\x1b[31m\x9bb\u202egnp.\u2028\r" in said
    assert said.count("\n") == 7  # four parts, of which three end or are broken by a newline


def test_letters_of_every_language_stay() -> None:
    text = "Größe 图 नमस्ते می‌خواهم 👩‍🚀 café 100 %"
    assert visible(text) == text
    assert visible("a\nb") == r"a\nb" and visible("a\nb", keep="\n") == "a\nb"
    assert visible("\udcff") == r"\udcff"


def printing(code: str, output: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `code` as the work of a command whose output goes where the shell word `output` says."""
    work = f"def work():\n    {code}\n"
    program = f"{work}import sys\nfrom sharpvae.core.console import *\nsys.exit(exit_code(work))"
    return subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {output}', sys.executable, program],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **environment},
        capture_output=True, text=True, errors="replace",
    )  # fmt: skip


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("code", ["print('a')", "print('a', flush=True)", "print('a' * 1000000)"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_output_is_one_message(code: str, unbuffered: str) -> None:
    done = printing(code, ">/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "error: standard output",
        "  expected: a place that takes what is printed",
        "  found:    No space left on device",
    ]


def test_a_closed_output_is_none() -> None:
    done = printing("print(sys.stdout.isatty(), flush=True)", ">&-")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_has_gone_ends_the_command_without_a_word() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    program = (
        "import sys\nfrom sharpvae.core.console import *\nsys.exit(exit_code(lambda: print('a')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], stdout=writer, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    os.close(writer)
    assert (done.returncode, done.stderr) == (UNREAD, "")


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=["latin-1", "C"],
)
def test_what_an_encoding_lacks_is_spelt_out(environment: dict[str, str]) -> None:
    cut = "terminal(4).print('abcdefgh', overflow='ellipsis', no_wrap=True)"
    code = f"print(chr(0x2026), chr(0x56fe)); {cut}"
    done = printing(code, "", **environment)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == r"\u2026 \u56fe"


def test_brackets_and_colons_are_no_markup() -> None:
    done = printing(
        "from rich.table import Table; t = Table('[bold]head', title='[/x] :smile:'); "
        "t.add_row('[red]cell'); terminal().print(t)",
        "",
    )
    for part in ("[/x] :smile:", "[bold]head", "[red]cell"):
        assert part in done.stdout, done.stderr
