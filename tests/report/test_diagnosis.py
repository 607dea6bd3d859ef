from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import resolve, resolve_file
from sharpvae.config.rules import check
from sharpvae.core.config import flatten, load_stage
from sharpvae.report.diagnosis import Finding, diagnose
from sharpvae.report.evidence import ReportStage, load_evidence
from tests.report.tree import BLURRY, blobs, run_of, write_tree

REPOSITORY = Path(__file__).parents[2]
HEALTHY = BLURRY | {
    "blur_px": 0.1, "blur_px_reconstruction": 0.1, "fid": 20.0, "fid_reconstruction": 18.0,
}  # fmt: skip


def found_in(
    root: Path, record: Any, changes: dict[str, Any] | None = None, trained: bool = True
) -> list[Finding]:
    """The findings on one variant; `trained`: its loss stands still after many updates."""
    write_tree(root, {"one": {0: record}}, changes={"one": changes or {}}, images=blobs(40, 1))
    if trained:
        summary = root / "reports/scores/one/0/summary.json"
        summary.write_text(summary.read_text().replace('"steps": 660', '"steps": 66000'))
    evidence = load_evidence(load_stage(root / "configs/report.json", ReportStage), root)
    return diagnose(evidence, evidence.comparison)


def settings(finding: Finding) -> list[str]:
    """What a command sets, which either of the default variants must take."""
    command = shlex.split(finding.command)
    assert command[:3] == ["dvc", "exp", "run"] and set(command[3::2]) == {"-S"}
    for variant in ("original", "improved"):
        params = read_settings(REPOSITORY / "params.yaml")
        for setting in command[4::2]:
            dotted, value = setting.removeprefix("++variants.one.").split("=")
            section = params["variants"][variant]
            *path, key = dotted.split(".")
            for name in path:
                section = section.setdefault(name, {})
            section[key] = YAML(typ="safe").load(value)
        check(resolve(params, Studies(REPOSITORY / "studies")))
    return command[4::2]


def test_nothing_wrong_nothing_said(tmp_path: Path) -> None:
    assert found_in(tmp_path, HEALTHY) == []


@pytest.mark.parametrize(
    ("change", "told", "setting"),
    [
        ({"signal_axes": 0.0}, "No axis", "loss.beta=0.125"),
        ({"blur_px": 1.0, "blur_px_reconstruction": 0.9}, "nearly as blurred",
         "loss.weights.perceptual=0.5"),
        ({"fid": 60.0}, "much worse than reconstructions", "loss.beta=1"),
    ],
)  # fmt: skip
def test_each_fault_has_its_cure(
    tmp_path: Path, change: dict[str, float], told: str, setting: str
) -> None:
    (finding,) = found_in(tmp_path, HEALTHY | change)
    assert told in finding.text
    assert settings(finding) == [f"++variants.one.{setting}"]


@pytest.mark.parametrize("variant", ["original", "improved"])
def test_every_cure_can_be_set_on_the_default_variants(tmp_path: Path, variant: str) -> None:
    resolved = resolve_file(REPOSITORY / "params.yaml").experiment.variants[variant]
    own = flatten(resolved.model_dump(mode="json"))
    blurred = {"blur_px": 1.0, "blur_px_reconstruction": 0.9, "fid": 60.0, "signal_axes": 0.0}
    sick = run_of(HEALTHY | blurred, artefacts={"headline": "checkerboard"})
    found = found_in(tmp_path / "sick", sick, own, trained=False)
    found += found_in(tmp_path / "lost", run_of(BLURRY, collapsed=True), own, trained=False)
    keys = {setting.split("=")[0] for each in found if each.command for setting in settings(each)}
    assert len(found) == 6 and len(keys) >= 3
    for term in ("perceptual", "adversarial"):  # what is asked for next, until nothing is left
        own[f"loss.weights.{term}"] = 0.5
        for finding in found_in(tmp_path / term, HEALTHY | blurred, own):
            settings(finding)


def test_a_decoder_with_every_loss_is_made_wider(tmp_path: Path) -> None:
    blurred = HEALTHY | {"blur_px": 1.0, "blur_px_reconstruction": 0.9}
    weights = {"loss.weights.perceptual": 1.0, "loss.weights.adversarial": 1.0}
    (finding,) = found_in(tmp_path, blurred, weights)
    assert settings(finding) == ["++variants.one.model.width_scale=1"]


def test_a_network_of_the_user_s_own_has_no_setting_to_widen_or_to_upsample_otherwise(
    tmp_path: Path,
) -> None:
    own = {"model": {"family": "mine.py:Net", "latent_dim": 4, "width_scale": 1.0, "arguments": {}},
           "loss.weights.perceptual": 1.0, "loss.weights.adversarial": 1.0}  # fmt: skip
    blurred = HEALTHY | {"blur_px": 1.0, "blur_px_reconstruction": 0.9}
    found = found_in(tmp_path, run_of(blurred, artefacts={"headline": "checkerboard"}), own)
    assert ["as blurred" in found[0].text, "checkerboard" in found[1].text] == [True, True]
    assert [finding.command for finding in found] == ["", ""]


def test_the_prior_to_draw_from_is_chosen_on_validation(tmp_path: Path) -> None:
    test = HEALTHY | {"fid": 60.0, "fid_mixture": 30.0, "fid_flow": 20.0}
    unseen = test | {"fid_mixture": 20.0, "fid_flow": 30.0}
    (finding,) = found_in(tmp_path, run_of(test, validation=unseen))
    assert settings(finding) == ["++variants.one.sample.prior=mixture"]


def test_an_artefact(tmp_path: Path) -> None:
    record = run_of(HEALTHY, artefacts={"headline": "checkerboard"})
    (finding,) = found_in(tmp_path / "a", record)
    assert "checkerboard" in finding.text
    assert settings(finding) == ["++variants.one.model.upsampling=nearest"]
    (finding,) = found_in(tmp_path / "b", record, {"model.upsampling": "nearest"})
    assert finding.command == ""


def test_a_collapsed_variant_has_one_finding(tmp_path: Path) -> None:
    (finding,) = found_in(tmp_path, run_of(BLURRY, collapsed=True), trained=False)
    assert settings(finding) == ["++variants.one.loss.beta=0.125"]


def ended(root: Path, changes: dict[str, Any], **end: Any) -> Finding:
    """The first finding on a training that ended so."""
    write_tree(root, {"one": {0: HEALTHY}}, changes={"one": changes}, images=blobs(40, 1))
    summary = root / "reports/scores/one/0/summary.json"
    summary.write_text(json.dumps(json.loads(summary.read_text()) | end))
    evidence = load_evidence(load_stage(root / "configs/report.json", ReportStage), root)
    return diagnose(evidence, evidence.comparison)[0]


def test_a_short_training_is_told_first(tmp_path: Path) -> None:
    finding = ended(tmp_path, {}, steps=660)
    assert "660 updates only" in finding.text
    assert settings(finding) == ["++variants.one.train.epochs=24"]


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({}, "train.epochs=16"),  # 12 and a third more
        ({"train.epochs": None, "train.updates": 6000}, "train.updates=8000"),
    ],
)
def test_a_loss_that_still_fell_is_told_with_what_it_would_take(
    tmp_path: Path, changes: dict[str, Any], setting: str
) -> None:
    finding = ended(tmp_path, changes, steps=6000, still_falling=True, updates_wanted=2000)
    assert "still falling" in finding.text and "2 000 updates more" in finding.text.replace(
        "\N{NARROW NO-BREAK SPACE}", " "
    )
    assert settings(finding) == [f"++variants.one.{setting}"]


def test_a_fall_without_an_end_is_trained_twice_as_long(tmp_path: Path) -> None:
    finding = ended(tmp_path, {}, steps=6000, still_falling=True, updates_wanted=None)
    assert "still falling. What" in finding.text
    assert settings(finding) == ["++variants.one.train.epochs=24"]
