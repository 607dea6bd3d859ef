"""Lay out an experiment in a directory of its own, whose stages come from the installed package.

sharpvae init mine
cd mine && dvc repro

Written are params.yaml, dvc.yaml, presets/, studies/, ablations/, networks/, samples/,
requirements.txt and a README.md; Git and DVC are set up where they are not. Nothing that is
there is overwritten.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from apps import command
from sharpvae.config.settings import REQUIREMENTS, shipped
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import write_text

FOLDERS = ("presets", "studies", "networks", "ablations")
ALONE = ("samples/README.md",)  # without what lies beside it in a checkout
IGNORED = """\
# What DVC keeps, and what it works in.
/configs
/data
/models
/reports/*
!/reports/metrics.json
/experiments
/exports
/.checkpoints
/logs
"""
README = """\
# A comparison of VAEs

`pip install -r requirements.txt`, then `dvc repro` trains, scores and compares the variants of
[params.yaml](params.yaml), and writes `reports/report.html`. Commit what it leaves to Git; then
change a setting for one experiment with `dvc exp run -S loss.beta=1.0`, and `sharpvae experiments`
lists what came of each. For your own images set `data.name: folder` and `data.path`.

The code is the package of requirements.txt. After another version of it was installed, write that
version there, and `dvc repro` runs all stages anew.
"""


def parser() -> argparse.ArgumentParser:
    """What `sharpvae init` takes."""
    made = command.parser("init", __doc__)
    made.add_argument("directory", nargs="?", default=".", help="made if need be (here)")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: lay_out(Path(options.directory)))


def lay_out(directory: Path) -> None:
    """Write everything below `directory`.

    Raises:
        UserError: something of that name is there; or git is not installed.
    """
    source = shipped()
    texts = {
        "params.yaml": (source / "params.yaml").read_text(encoding="utf-8"),
        "dvc.yaml": without_code((source / "dvc.yaml").read_text(encoding="utf-8")),
        ".gitignore": IGNORED,
        **{name: (source / name).read_text(encoding="utf-8") for name in ALONE},
        REQUIREMENTS: f"sharpvae=={version('sharpvae')}\n",
        "README.md": README,
    }
    for name in (*texts, *FOLDERS, ".dvcignore", ".dvc/plots"):
        if (directory / name).exists():
            raise UserError(
                str(directory / name), "a directory without a file of this name", "one is there",
                "choose another directory, or move it away",
            )  # fmt: skip
    if shutil.which("git") is None:
        raise UserError("git", "git, which keeps what DVC refers to", "none", "install git")
    directory.mkdir(parents=True, exist_ok=True)
    _set_up(directory)
    for name, text in texts.items():
        write_text(directory / name, text)
    for folder in FOLDERS:
        shutil.copytree(source / folder, directory / folder)
    shutil.copy(source / ".dvcignore", directory)  # in the place of DVC's own empty one
    plots = source / "plots" if (source / "plots").exists() else source / ".dvc/plots"
    shutil.copytree(plots, directory / ".dvc/plots", dirs_exist_ok=True)
    there = "" if directory == Path() else f"cd {shlex.quote(str(directory))} && "
    command.say(100, f"{directory}: ready. Next: {there}dvc repro", wrap=False)


def without_code(text: str) -> str:
    """dvc.yaml with the package's version in the place of its files, which lie elsewhere."""
    lines: list[str] = []
    for line in text.splitlines():
        name = line.strip().removeprefix("- ")
        if line.startswith("      - ") and name.startswith(("sharpvae", "stages/")):
            line = f"      - {REQUIREMENTS}"
            if line in lines[_last(lines, "    deps:") :]:
                continue
        lines.append(line)
    kept = (line for line in lines if not line.startswith("#"))
    return "\n".join(["# The stages; their code is the package of requirements.txt.", *kept]) + "\n"


def _last(lines: Sequence[str], line: str) -> int:
    return max(index for index, other in enumerate(lines) if other == line)


def _set_up(directory: Path) -> None:
    """Git and DVC, where they are not."""
    inside = subprocess.run(
        ["git", "rev-parse", "--git-dir"], cwd=directory, capture_output=True, check=False
    )
    steps = [] if inside.returncode == 0 else [["git", "init", "--quiet"]]
    if not (directory / ".dvc").exists():
        nested = inside.returncode == 0 and not (directory / ".git").exists()
        subdirectory = ["--subdir"] if nested else []
        steps.append([sys.executable, "-m", "dvc", "init", "--quiet", *subdirectory])
    for step in steps:
        done = subprocess.run(step, cwd=directory, capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(" ".join(step[-3:]), "to succeed", done.stderr.strip(), "mend that")
