"""`sharpvae` itself: the list, the version, mistakes, and what it imports."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from apps.command import Command
from apps.main import COMMANDS, main
from apps.study import ACTIONS
from tests.imports import REPOSITORY
from tests.processes import printed

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
ALL = COMMANDS | {f"study {name}": action for name, action in ACTIONS.items()}


def test_alone_it_lists_every_command_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("commands:") + 1
    listed = lines[start : start + len(COMMANDS)]
    assert [line.split()[0] for line in listed] == list(COMMANDS)
    assert all(len(line) <= 80 for line in lines[:start] + listed)
    assert any(line.startswith("  sharpvae datasets celeba") for line in lines)


def test_help_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    alone = capsys.readouterr().out
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == alone


def examples(help_text: str) -> list[list[str]]:
    """The calls in a help text, a line each, with what they do behind two spaces."""
    lines = [line.strip() for line in help_text.splitlines()]
    calls = [re.split(r"\s{2,}", line)[0] for line in lines if line.startswith("sharpvae ")]
    return [shlex.split(call.partition(" > ")[0])[1:] for call in calls]


@pytest.mark.parametrize("name", ["", *ALL])
def test_every_help_has_an_example_and_all_of_them_are_right(name: str) -> None:
    module = import_module(ALL[name].module if name else "apps.main")
    found = examples(module.parser().format_help())
    assert any(call[: len(name.split())] == name.split() for call in found)
    for call in found:
        words = 2 if call[0] == "study" and call[1:] else 1
        own = import_module(ALL[" ".join(call[:words])].module)
        own.parser().parse_args(call[words:])  # exits where it is wrong


@pytest.mark.parametrize(("name", "command"), ALL.items(), ids=lambda value: str(value))
def test_every_command_helps_under_its_own_name(
    name: str, command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        import_module(command.module).main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: sharpvae {name} ")


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sharpvae {PROJECT['version']}\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dataset"], "error: there is no 'sharpvae dataset': did you mean 'datasets'? "),
        (["study", "shwo"], "error: there is no 'sharpvae study shwo': did you mean 'show'? "),
        (["study", "s001-fixed"], "error: there is no 'sharpvae study s001-fixed': valid names: "),
    ],
)
def test_a_wrong_name_is_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(said)
    assert error.count("\n") == 1


def test_a_wrong_option_is_wrong_usage_too(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--vresion"])
    assert caught.value.code == 2
    assert "--vresion" in capsys.readouterr().err


def test_the_exit_code_is_that_of_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["study", "show", "any"]) == 1
    assert "top of the repository" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", "datasets", "weights", "study"])
def test_a_list_never_waits_for_torch(name: str) -> None:
    code = f"import sys; from apps.main import main; main('{name}'.split()); print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert "torch" not in loaded
    assert loaded & {command.module for command in COMMANDS.values()} == {
        command.module for key, command in COMMANDS.items() if key == name
    }


def test_the_installed_command(tmp_path: Path) -> None:
    """It is in the environment's folder of programs, beside `dvc`, and runs anywhere."""
    assert PROJECT["scripts"] == {"sharpvae": "apps.main:main"}
    script = Path(sys.executable).with_name("sharpvae")
    if not script.exists():
        pytest.skip("the project is not installed")
    done = subprocess.run([script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == printed(tmp_path)


def test_nothing_is_run_as_a_module_of_apps() -> None:
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=REPOSITORY, text=True)
    paths = [REPOSITORY / name for name in listed.split("\0") if name]
    texts = {path: path.read_bytes() for path in paths if path.is_file()}
    for form in (b"python -m " + b"apps", b'"-m", ' + b'"apps'):
        assert [str(path) for path, text in texts.items() if form in text] == []
