"""`sharpvae study claims`: mistakes are told before training, and the page is made of what ran."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from apps import study_claims
from sharpvae.proof.readings import ArmReadings
from sharpvae.proof.workspaces import Workspaces
from sharpvae.report.statistics import Reading
from tests.toy import toy

FILE = """\
document: "000"
claim: The second is sharper.
arms: {first: {study: s000-original}, second: {study: s000-improved}}
params: {}
seeds: [0, 1, 2]
expect: [second.blur_px - first.blur_px < 0]
needs: []
note: ""
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy(tmp_path)
    for folder in ("claims", "docs"):
        (tmp_path / folder).mkdir()
    (tmp_path / "claims/sharper.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def without_training(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Arms are laid and read, but what they would have scored is made up; what was run."""
    noted: dict[str, list[str]] = {"run": [], "fail": []}

    def trained(work: Workspaces, arms: list[str], jobs: int) -> dict[str, str]:
        noted["run"] += arms
        return {arm: "a mistake" for arm in arms if arm in noted["fail"]}

    def read(root: Path, arm: str, seeds: list[int], keys: list[str]) -> ArmReadings:
        level = 1.0 if arm == "first" else 0.5
        rows = [Reading.alone(level + 0.01 * seed) for seed in seeds]
        return ArmReadings(dict.fromkeys(keys, rows), {}, {"a": 1.0}, 26)

    def lay(*arguments: Any) -> None:
        noted.setdefault("laid", []).extend(arguments[1])

    monkeypatch.setattr(study_claims, "trained", trained)
    monkeypatch.setattr(study_claims, "read_arm", read)
    monkeypatch.setattr(Workspaces, "shared", lambda self: None)
    monkeypatch.setattr(Workspaces, "lay", lay)
    return noted


def test_the_plan_is_told_and_nothing_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    assert study_claims.main(["--plan"]) == 0
    assert "1 claims, 2 arms, 6 trainings" in capsys.readouterr().out
    assert sorted(place.rglob("*")) == before


def test_a_claim_is_judged_and_written_down(
    place: Path, without_training: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert study_claims.main([]) == 0
    assert "sharper: confirmed" in capsys.readouterr().out
    assert without_training["run"] == ["first", "second"] == without_training["laid"]
    ledger = json.loads((place / "docs/claims.json").read_text())
    assert ledger["sharper"]["outcome"] == "confirmed"
    page = (place / "docs/claims.md").read_text()
    assert "1 confirmed" in page and "The second is sharper." in page


def test_judging_one_keeps_the_verdicts_of_others_and_drops_those_of_claims_that_are_gone(
    place: Path, without_training: dict[str, list[str]]
) -> None:
    (place / "claims/other.yaml").write_text(FILE)
    (place / "claims/gone.yaml").write_text(FILE)
    assert study_claims.main([]) == 0
    (place / "claims/gone.yaml").unlink()
    assert study_claims.main(["other"]) == 0
    assert set(json.loads((place / "docs/claims.json").read_text())) == {"other", "sharper"}


def test_a_failed_arm_is_named_and_other_claims_are_judged(
    place: Path, without_training: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    other = FILE.replace("second:", "third:").replace("second.", "third.")
    (place / "claims/other.yaml").write_text(other)
    without_training["fail"].append("third")
    (place / "experiments/claims/third").mkdir(parents=True)
    assert study_claims.main([]) == 1
    assert "experiments/claims/third/dvc.log" in capsys.readouterr().err
    assert set(json.loads((place / "docs/claims.json").read_text())) == {"sharper"}
    assert "not run yet" in (place / "docs/claims.md").read_text()


def test_weights_that_are_missing_are_told_and_the_rest_is_judged(
    place: Path, without_training: dict[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_claims, "location", lambda name, given: place / f"{name}.pth")
    (place / "claims/vgg.yaml").write_text(FILE.replace("needs: []", "needs: [vgg19]"))
    assert study_claims.main([]) == 0
    page = (place / "docs/claims.md").read_text()
    assert "vgg19.pth is missing" in page and "sharpvae weights vgg19" in page
    assert "1 confirmed, 1 not run" in page


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("s000-improved", "s000-improvd"), "did you mean 's000-improved'"),
        (("second.blur_px -", "second.blur -"), "blur_px"),
        (("needs: []", "needs: [vgg9]"), "vgg19"),
    ],
)
def test_a_mistake_is_told_before_anything_is_trained(
    place: Path, change: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "claims/sharper.yaml").write_text(FILE.replace(*change))
    assert study_claims.main([]) == 1
    assert told in capsys.readouterr().err
    assert not (place / "experiments").exists()


def test_an_unknown_claim_is_told(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study_claims.main(["shaper"]) == 1
    assert "did you mean 'sharper'" in capsys.readouterr().err
