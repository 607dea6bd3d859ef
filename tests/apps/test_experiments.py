"""`sharpvae experiments`: a table of what `dvc exp show` says, here of three recorded answers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from apps import experiments


def entry(rev: str, name: str | None, beta: float | None, fid: float | None, **more: Any) -> Any:
    """As `dvc exp show --json` has a commit or an experiment."""
    loss = {"reduction": "sum"} | ({} if beta is None else {"beta": beta})
    params = {"loss": loss, "seeds": [0]}
    metrics = {} if fid is None else {
        "original": {"fid": 700.0, "blur_px": 1.0}, "improved": {"fid": fid, "blur_px": 0.6512},
    }  # fmt: skip
    data = {
        "params": {"params.yaml": {"data": params}},
        "metrics": {"reports/metrics.json": {"data": metrics}} if metrics else {},
    }
    return {"rev": rev, "name": name, "data": data, "error": None, "experiments": None} | more


def shown(*revs: Any, workspace: Any = None) -> list[Any]:
    commit = entry("abcdef1234", "main", None, 240.0)
    commit["experiments"] = [{"revs": [rev]} for rev in revs]
    return [workspace or entry("workspace", None, None, 240.0), commit]


def test_an_experiment_tells_what_it_changed_and_which_variants_moved() -> None:
    base, changed = experiments.runs(shown(entry("1234567", "beta-1", 1.0, 265.0)))
    assert base.name == "main" and list(base.scores) == ["original", "improved"]
    assert changed.name.strip() == "beta-1"
    assert changed.changed == ["loss.beta=1"]
    assert list(changed.scores) == ["improved"]


def test_a_setting_that_is_gone_is_told() -> None:
    told = shown(entry("1234567", "beta-1", None, 250.0))
    told[1]["data"]["params"]["params.yaml"]["data"]["loss"]["beta"] = 2.0
    assert list(experiments.runs(told))[1].changed == ["without loss.beta"]


def test_a_variant_that_is_gone_is_told_by_its_name() -> None:
    told = shown(entry("1234567", "alone", None, 250.0))
    before = told[1]["data"]["params"]["params.yaml"]["data"]
    before["variants"] = {"plain": {"model": {"family": "mlp"}, "study": "x"}, "improved": None}
    after = told[1]["experiments"][0]["revs"][0]["data"]["params"]["params.yaml"]["data"]
    after["variants"] = {"improved": None}
    assert list(experiments.runs(told))[1].changed == ["without variants.plain"]


def test_the_workspace_is_told_where_it_differs() -> None:
    assert len(list(experiments.runs(shown()))) == 1
    *_, last = experiments.runs(shown(workspace=entry("workspace", None, 0.25, None)))
    assert last == experiments.Run("workspace", ["loss.beta=0.25"], {}, "no scores")


def test_a_failed_experiment_says_why() -> None:
    failed = {"rev": "1234567", "name": "bad", "data": None, "error": {"msg": "it broke"}}
    *_, last = experiments.runs(shown(failed))
    assert last.error == "it broke" and last.changed == []


@pytest.mark.parametrize(
    ("state", "told"),
    [("failed", "failed; dvc queue logs bad"), ("running", "running"), ("success", "")],
)
def test_one_of_the_queue_has_its_commits_scores_only_once_it_has_ended_well(
    state: str, told: str
) -> None:
    """DVC gives those of the commit with what did not come to scores of its own."""
    asked = shown(entry("1234567", "bad", 1.0, 240.0))
    asked[1]["experiments"][0]["executor"] = {"state": state}
    *_, last = experiments.runs(asked)
    assert (last.error, last.changed, last.scores) == (told, ["loss.beta=1"], {})


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    told = json.dumps(shown(entry("1234567", "beta-1", 1.0, 265.04)))
    answer = subprocess.CompletedProcess([], 0, told, "")
    monkeypatch.setattr(experiments.subprocess, "run", lambda *_, **__: answer)
    assert experiments.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        "experiment", "changed", "variant", "FID", "blur,", "px", "coverage", "PSNR"
    ]  # fmt: skip
    assert lines[-1].split() == ["beta-1", "loss.beta=1", "improved", "265", "0.65"]


def test_outside_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert experiments.main([]) == 1
    assert "error: dvc exp show" in capsys.readouterr().err
