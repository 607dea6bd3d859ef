"""The stages as DVC runs them, at toy size, in a folder of their own."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.forked import STAGES, Forking, forking

REPOSITORY = Path(__file__).parents[1]
OF_RUN = ("train", "sample", "evaluate")


def environment() -> dict[str, str]:
    return {
        **os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONWARNINGS": "error",
        "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1", "COLUMNS": "120",
    }  # fmt: skip


def stage(place: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As `python -m stages.<name>` does it, but for the seconds that its imports would take."""
    with TemporaryDirectory() as folder:
        output, errors = Path(folder) / "output", Path(folder) / "errors"
        number = _forks().start(name, arguments, place, output, errors, environment())
        try:
            code = _forks().wait(240)
        except TimeoutError:
            os.kill(number, signal.SIGKILL)
            _forks().wait()  # or the next stage would be taken to end as this one
            raise
        told, failed = output.read_text(), errors.read_text()
    return subprocess.CompletedProcess([name, *arguments], code, told, failed)


def fresh(place: Path, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The same in an interpreter of its own, where its time or its imports matter."""
    command = [sys.executable, "-m", f"stages.{name}", *arguments]
    return subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, timeout=240
    )


@cache
def _forks() -> Forking:
    """Of this process of pytest, until it ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(forking(environment()))


def all_stages(place: Path, variant: str) -> None:
    """Every stage of the seed 0 of one variant, without DVC."""
    for name in STAGES:
        passes(place, name, *([variant, "0"] if name in OF_RUN else []))


def passes(place: Path, name: str, *arguments: str) -> str:
    done = stage(place, name, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def with_variants(text: str, lines: str) -> str:
    """params.yaml with these lines as its variants."""
    shared, found, _ = text.partition("\nvariants:\n")
    return f"{shared}{found}{lines}\n"


def toy_size(text: str) -> str:
    """params.yaml at toy size, on one thread: tests run side by side, and threads wait spinning."""
    text = re.sub(r"(?m)^preset: \w+", "preset: toy", text)
    return re.sub(r"(?m)^threads: \d+", "threads: 1", text)


def toy(place: Path, change: Callable[[str], str] = lambda text: text) -> Path:
    """The project's presets, studies and params.yaml in a folder, the last changed to toy size."""
    for folder in ("presets", "studies"):
        shutil.copytree(REPOSITORY / folder, place / folder)
    text = (REPOSITORY / "params.yaml").read_text()
    (place / "params.yaml").write_text(change(toy_size(text)))
    return place


def under_dvc(place: Path) -> Path:
    """A folder of `toy` in which DVC runs the stages, without git; what it lacks links here."""
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(REPOSITORY / name, place)
    for name in ("sharpvae", "stages", "networks", "samples"):
        if not (place / name).exists():
            (place / name).symlink_to(REPOSITORY / name)
    (place / ".dvc").mkdir()
    (place / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    return place


def dvc_environment() -> dict[str, str]:
    """The same as for a stage, with this Python first in the path; warnings of DVC are its own."""
    own = environment() | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return {key: value for key, value in own.items() if key != "PYTHONWARNINGS"}


def dvc(place: Path, *arguments: str) -> str:
    """What `dvc <arguments>` prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=place, env=dvc_environment(),
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
