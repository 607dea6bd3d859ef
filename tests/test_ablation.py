"""`sharpvae study ablation` under DVC, at toy size: interrupted, resumed, done, done again."""

from __future__ import annotations

import csv
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import SHARPVAE, interruptible
from tests.toy import REPOSITORY, dvc_environment, toy, under_dvc

pytestmark = pytest.mark.slow
ABLATION = """\
title: a toy
from: original
to: improved
seeds: [0]
match: updates
settings:
  train.updates: 26
  train.film_every: 0
factors:
  all: [model, loss, train]
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = toy(tmp_path_factory.mktemp("ablation"))
    shutil.copytree(REPOSITORY / "stages", place / "stages")  # of which a test breaks one
    under_dvc(place)
    (place / "ablations").mkdir()
    (place / "ablations/toy.yaml").write_text(ABLATION)
    return place


def ablation(place: Path, *arguments: str, expect: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, *SHARPVAE, "study", "ablation", "toy", *arguments],
        cwd=place, env=dvc_environment(), capture_output=True, text=True, timeout=590,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == expect, said
    return said


def trained(place: Path, arm: str) -> bool:
    """Whether the last call trained an arm."""
    log = (place / "experiments/toy" / arm / "dvc.log").read_text()
    return "Running stage 'train@" in log


def test_an_ablation_is_interrupted_resumed_and_never_trained_twice(project: Path) -> None:
    assert "2 arms, 2 of them a factorial design, seeds 0: 2 trainings" in ablation(
        project, "--plan"
    )
    assert not (project / "experiments").exists()

    command = interruptible(sys.executable, *SHARPVAE, "study", "ablation", "toy")
    with subprocess.Popen(
        command, cwd=project, env=dvc_environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        second = project / "experiments/toy/improved/reports/live/improved/0"
        while not second.exists() and process.poll() is None:
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        said = process.stdout.read().decode()
        assert process.wait(120) == 130, said
    assert not (project / "reports/ablation.html").exists()

    said = ablation(project)
    assert not trained(project, "original")  # before the interruption
    assert trained(project, "improved")
    assert "reports/ablation.html" in said
    with (project / "reports/ablation.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["of"] for row in rows if row["kind"] == "share"} == {"all"}
    first = (project / "reports/ablation.csv").read_bytes()

    ablation(project)
    assert not trained(project, "original") and not trained(project, "improved")
    assert (project / "reports/ablation.csv").read_bytes() == first


def test_a_failed_arm_is_named_and_the_rest_reported(project: Path) -> None:
    stage = project / "stages/train.py"
    text = stage.read_text()
    stage.write_text(
        text.replace(
            "from __future__ import annotations\n",
            "from __future__ import annotations\n\nimport sys as _s\n"
            "if 'improved' in _s.argv:\n    _s.exit('this arm is broken')\n",
            1,
        )
    )
    try:
        said = ablation(project, "--seeds", "1", expect=1)
    finally:
        stage.write_text(text)
    assert "improved" in said and "experiments/toy/improved/dvc.log" in said
    assert "improved: no run" in (project / "reports/ablation.md").read_text()
