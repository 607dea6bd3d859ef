"""`python -m stages.report`, as DVC runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.imports import REPOSITORY
from tests.report.tree import BLURRY, SHARP, write_tree


def run_stage(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages.report"],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )


def test_writes_every_output_and_says_where(tmp_path: Path) -> None:
    write_tree(tmp_path, {"original": {0: BLURRY}, "improved": {0: SHARP}})
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith(
        "improved is better than original: samples of original are as blurry as real"
    )
    assert "report: reports/report.html" in done.stdout
    reports = tmp_path / "reports"
    assert set(json.loads((reports / "metrics.json").read_text())) == {"original", "improved"}
    for name in ("report.html", "report.md", "curves.csv", "figures/samples.png"):
        assert (reports / name).stat().st_size > 0


def test_a_mistake_leaves_the_last_report(tmp_path: Path) -> None:
    write_tree(tmp_path, {"original": {0: BLURRY}})
    (tmp_path / "reports/report.html").write_text("the last report")
    (tmp_path / "models/critic/critic.json").unlink()
    done = run_stage(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: models/critic/critic.json\n")
    assert "Traceback" not in done.stderr
    assert (tmp_path / "reports/report.html").read_text() == "the last report"
    assert not (tmp_path / "reports/metrics.json").exists()
