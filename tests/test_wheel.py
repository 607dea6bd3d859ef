"""What `pip install sharpvae` brings, away from the clone: the command, the stages, the Python."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from tests.scoring.pictures import discs
from tests.toy import toy_size

REPOSITORY = Path(__file__).parents[1]

pytestmark = pytest.mark.slow


def run(place: Path, *command: str | Path, **more: str) -> str:
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "GIT_CONFIG_GLOBAL": os.devnull,
        "PYTHONPATH": "", **more,
    }  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), cwd=place, env=environment, capture_output=True, text=True,
        timeout=590,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """bin/ of a clean environment with the wheel; what it depends on comes from this one."""
    place = tmp_path_factory.mktemp("wheel")
    listed = run(REPOSITORY, "git", "ls-files", "-z").split("\0")
    for name in filter(None, listed):
        if (REPOSITORY / name).is_file():
            (place / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, place / "source" / name)
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    run(place, *pip, "wheel", "--no-deps", "--wheel-dir", "dist", "./source")
    (wheel,) = (place / "dist").glob("sharpvae-*.whl")
    run(place, sys.executable, "-m", "venv", "--without-pip", "clean")
    run(place, *pip, "--python", place / "clean/bin/python", "install", "--no-deps", wheel)
    (packages,) = (place / "clean/lib").glob("python3*/site-packages")
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return place / "clean/bin"


def test_the_code_is_the_wheels(installed: Path, tmp_path: Path) -> None:
    code = "import sharpvae, stages, apps; print(sharpvae.__file__, stages.__file__, apps.__file__)"
    found = run(tmp_path, installed / "python", "-c", code).split()
    assert all(Path(file).is_relative_to(installed.parent) for file in found)


def test_samples_are_scored_away_from_any_repository(installed: Path, tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "samples").mkdir()
    for index, image in enumerate(discs(60, 2)):
        Image.fromarray(image[..., 0]).save(tmp_path / f"samples/{index}.png")
    np.save(tmp_path / "real.npy", discs(150, 1))
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    command = ("score", "samples", "--real", "real.npy", "--out", "made")
    assert "Blur, px" in run(tmp_path, installed / "sharpvae", *command, **cache)
    assert (tmp_path / "made/score.html").exists()
    code = (
        "from sharpvae import score; result = score('samples', 'real.npy'); "
        "print(result.scores['samples']['blur_px'])"
    )
    assert float(run(tmp_path, installed / "python", "-c", code, **cache)) < 0.2


def test_an_experiment_that_was_laid_out_runs(installed: Path, tmp_path: Path) -> None:
    path = {"PATH": f"{installed}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    run(tmp_path, installed / "sharpvae", "init", "mine", **path)
    mine = tmp_path / "mine"
    text = toy_size((mine / "params.yaml").read_text())
    before, sharp = text[: text.index("\n  original:")], text[text.index("\n  sharp:") :]
    (mine / "params.yaml").write_text(before + sharp)  # the one that the README loads
    run(mine, installed / "python", "-m", "dvc", "repro", **path)
    assert (mine / "reports/report.html").exists()
    (lines,) = re.findall(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.DOTALL)
    cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert "Blur, px" in run(mine, installed / "python", "-c", lines, **cache)
    assert "up to date" in run(mine, installed / "python", "-m", "dvc", "repro", **path)
