"""`sharpvae init`: a directory in which DVC finds its stages, and what is never overwritten."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from apps.init import main, without_code
from sharpvae.config.resolve import resolve_file
from sharpvae.config.settings import REQUIREMENTS
from tests.imports import REPOSITORY


def test_stages_depend_on_the_version_of_the_package_instead_of_its_files() -> None:
    own = yaml.safe_load((REPOSITORY / "dvc.yaml").read_text())
    laid = yaml.safe_load(without_code((REPOSITORY / "dvc.yaml").read_text()))
    assert list(laid["stages"]) == list(own["stages"])
    for name, stage in laid["stages"].items():
        before = own["stages"][name]
        code = [dep for dep in before["deps"] if dep.startswith(("sharpvae", "stages/"))]
        kept = [dep for dep in before["deps"] if dep not in code]
        assert sorted(stage["deps"]) == sorted([REQUIREMENTS, *kept])
        assert {k: v for k, v in stage.items() if k != "deps"} == {
            k: v for k, v in before.items() if k != "deps"
        }
    assert laid["plots"] == own["plots"]


def test_a_new_directory_is_a_repository_with_the_default_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["mine"]) == 0
    assert capsys.readouterr().out == "mine: ready. Next: cd mine && dvc repro\n"
    assert [path.name for path in (tmp_path / "mine/samples").iterdir()] == ["README.md"]
    assert (tmp_path / "mine/.git").is_dir() and (tmp_path / "mine/.dvc/plots").is_dir()
    ours = resolve_file(REPOSITORY / "params.yaml").experiment
    assert resolve_file(tmp_path / "mine/params.yaml").experiment == ours
    ignored = subprocess.run(
        ["git", "check-ignore", "data/x", "models/x", "reports/report.html"], cwd=tmp_path / "mine",
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(ignored.stdout.splitlines()) == 3


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "params.yaml").write_text("mine")
    assert main([str(tmp_path)]) == 1
    assert "one is there" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]
    assert (tmp_path / "params.yaml").read_text() == "mine"
