"""Machines unlike the one it was written on: names, users, languages, terminals, other clones."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.hostile.campaign import tell
from tests.hostile.test_faults import alone, outcome, wipe
from tests.toy import all_stages, dvc, dvc_environment, toy, under_dvc

NOBODY = 65534
MAIN = "import sys; from apps.main import main; sys.exit(main(sys.argv[1:]))"
# Another user, who may read what root may: the Python that runs the tests may be root's.
STRANGER = (
    "setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
    "--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search",
)  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.whole]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """metrics.json of the stages as they run here."""
    place = toy(tmp_path_factory.mktemp("here"), alone)
    all_stages(place, "improved")
    return outcome(place)


def poor(home: Path) -> Mapping[str, str]:
    """Little in the environment: no language, no terminal, 40 columns, a home to read alone."""
    home.mkdir()
    home.chmod(0o555)
    kept = {k: v for k, v in dvc_environment().items() if k in ("PATH", "PYTHONPATH")}
    return {**kept, "HOME": str(home), "LANG": "C", "LC_ALL": "C", "COLUMNS": "40"}


def test_another_user_in_an_odd_place(request, tmp_path: Path, expected: bytes) -> None:
    """Spaces, letters of other scripts; not root; a home that cannot be written to."""
    (place := tmp_path / "größe über/日本 'x' & y").mkdir(parents=True)
    under_dvc(toy(place, alone))
    words, environment = [sys.executable, "-m", "dvc", "repro"], poor(tmp_path / "home")
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("to be another user than root wants setpriv (util-linux)")
        words = [*STRANGER, *words]
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY, follow_symlinks=False)
    done = subprocess.run(
        words, cwd=place, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
        timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcome(place) == expected
    assert not list((tmp_path / "home").iterdir())
    tell(request, "elsewhere: another user, an odd place, a home to read alone, LANG=C", 1)


def test_a_clone_that_pulls_has_nothing_to_do(request, tmp_path: Path, expected: bytes) -> None:
    """All outputs come from the remote, and every stage is as it was."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    under_dvc(toy(first, alone))
    dvc(first, "repro")
    dvc(first, "remote", "add", "-d", "shared", str(tmp_path / "remote"))
    dvc(first, "push")
    shutil.copytree(first, second, symlinks=True)
    wipe(second)
    shutil.rmtree(second / ".dvc/tmp")
    for name in ("dvc.lock", "reports/metrics.json"):  # which git has
        (second / name).parent.mkdir(exist_ok=True)
        shutil.copy(first / name, second / name)
    dvc(second, "pull")
    assert outcome(second) == outcome(first) == expected
    told = dvc(second, "repro")
    assert "Running stage" not in told, told
    tell(request, "elsewhere: a clone that pulls", 1)


def test_from_another_folder(request, tmp_path: Path) -> None:
    """DVC finds its root; what wants params.yaml says where it looked."""
    (place := tmp_path / "work").mkdir()
    under_dvc(toy(place, alone))
    (below := place / "notes").mkdir()
    dvc(below, "repro", "../dvc.yaml:configure")
    assert (place / "configs/improved/train.json").exists()
    for arguments in (
        ("experiments",),
        ("describe",),
        ("tune",),
        ("export", "improved", "--to", "onnx"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", MAIN, *arguments], cwd=below, env=dvc_environment(),
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1, (arguments, done)
        assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr, done.stderr
    tell(request, "elsewhere: another folder than the clone's", 1)
