"""`sharpvae completion`: what bash offers is what there is."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from apps.completion import main
from apps.main import COMMANDS
from apps.study import ACTIONS

ASK = r"""
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
name=$(complete -p sharpvae); [[ $name =~ -F\ ([^ ]+) ]]
"${BASH_REMATCH[1]}" sharpvae "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\n' "${COMPREPLY[@]}"
"""


def offered(script: Path, *words: str) -> set[str]:
    command = ["bash", "--norc", "-c", ASK, "ask", str(script), "sharpvae", *words]
    done = subprocess.run(command, cwd=script.parent, check=True, capture_output=True, text=True)
    return set(done.stdout.split())


def test_bash_offers_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bash"]) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    (tmp_path / "real.npy").touch()
    assert offered(script, "") >= set(COMMANDS)
    assert offered(script, "sc") == {"score"}
    assert offered(script, "study", "") >= set(ACTIONS)
    assert offered(script, "study", "ablation", "--pl") == {"--plan"}
    assert offered(script, "export", "--to", "o") == {"onnx"}
    assert offered(script, "score", "--real", "re") == {"real.npy"}


def test_zsh_gets_a_function(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef sharpvae\n")
    assert all(f"{name}:'" in script for name in COMMANDS)
    if shutil.which("zsh"):
        subprocess.run(["zsh", "-n"], input=script, text=True, check=True)
