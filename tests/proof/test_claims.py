"""Claims: files, expressions, verdicts, and the page made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from sharpvae.config.names import Studies, read_settings
from sharpvae.core.errors import UserError
from sharpvae.proof.claims import (
    Claim,
    Finding,
    judge,
    load_claim,
    outcome,
    require_arms,
    require_one_meaning,
    shared_params,
)
from sharpvae.proof.ledger import Entry, as_json, digest, load_ledger, render
from sharpvae.report.statistics import Reading
from tests.imports import REPOSITORY

GIVEN: dict[str, Any] = {
    "document": "000", "claim": "The second is sharper.",
    "arms": {"first": {"study": "s000-original"}, "second": {"loss": {"beta": 1.0}}},
    "params": {}, "seeds": [0, 1, 2], "expect": ["second.fid / first.fid < 1"],
    "needs": [], "note": "",
}  # fmt: skip


def claim(**changes: Any) -> Claim:
    return Claim.model_validate(GIVEN | changes)


def written(place: Path, **changes: Any) -> Path:
    path = place / "one.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(GIVEN | changes, file)
    return path


def test_a_file_is_read(tmp_path: Path) -> None:
    found = load_claim(written(tmp_path, expect=["first.blur_px - second.blur_px > 0.1"]))
    one = found.expectations[0]
    assert one.arms == ("first", "second") and one.scores == ("blur_px", "blur_px")
    assert one.kind == "difference" and not one.below and one.bound == 0.1


@pytest.mark.parametrize(
    ("text", "kind", "bound"),
    [
        ("second.kl < 0.1", "difference", 0.1),
        ("second.fid < 10", "ratio", 10),
        ("second.seconds / first.seconds > 1.5", "ratio", 1.5),
        ("second.brightness_gap > -1e-3", "difference", -0.001),
        ("first.fid_mixture / first.fid_prior < 1", "ratio", 1),
    ],
)
def test_expressions(text: str, kind: str, bound: float) -> None:
    one = claim(expect=[text]).expectations[0]
    assert one.kind == kind and one.bound == bound


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"expect": ["second.fdi / first.fid < 1"]}, "did you mean 'fid'"),
        ({"expect": ["secnd.fid / first.fid < 1"]}, "did you mean 'second'"),
        ({"expect": ["second.fid/first.fid < 1"]}, "spaces around"),
        ({"expect": ["second.fid / first.fid = 1"]}, "< or >"),
        ({"expect": ["import os"]}, "< or >"),
        ({"expect": []}, "expect"),
        ({"arms": {}}, "arms"),
        ({"arms": {"a b": {}}, "expect": ["first.fid < 1"]}, "one of the arms"),
        ({"arms": {**GIVEN["arms"], "theirs": {"samples": "a.npy"}}}, "arms.theirs.samples"),
        ({"params": {"train.lr": 1.0}}, "set it in the arms"),
        ({"seed": [0]}, "did you mean 'seeds'"),
        ({"document": 0}, "document"),
    ],
)
def test_a_mistake_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told) as caught:
        load_claim(written(tmp_path, **changes))
    assert "one.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"arms": {"first": {"study": "s000-orginal"}}}, "did you mean 's000-original'"),
        ({"arms": {"first": {"train": {"lr": -1.0}}}}, "-1.0"),
        ({"params": {"data.image_size": 17}}, "image_size"),
    ],
)
def test_an_arm_that_cannot_run_is_told_first(changes: dict[str, Any], told: str) -> None:
    params = read_settings(REPOSITORY / "params.yaml")
    with pytest.raises(UserError) as caught:
        require_arms("one", claim(**changes), params, Studies(REPOSITORY / "studies"))
    assert told in str(caught.value)
    assert "claims/one.yaml" in str(caught.value)


def test_params_of_a_claim_stand_beside_those_of_its_section() -> None:
    made = shared_params(
        claim(params={"data.name": "mnist", "data.subset": 100, "preset": "toy"}),
        {"data": {"name": "mnist5k", "seed": 0}},
    )
    assert made == {"data": {"name": "mnist", "seed": 0, "subset": 100}, "preset": "toy"}


def test_an_arm_means_one_thing() -> None:
    one, other = claim(), claim(arms={"first": {"loss": {"beta": 2.0}}})
    require_one_meaning({"a": one, "b": one})
    with pytest.raises(UserError, match="another name"):
        require_one_meaning({"a": one, "b": other})
    with pytest.raises(UserError, match="another name"):
        require_one_meaning({"a": one, "b": claim(params={"data.name": "mnist"})})


def readings(first: list[float], second: list[float]) -> dict[str, dict[str, list[Reading]]]:
    """FIDs by two judges that agree, and blur."""
    return {
        arm: {
            "fid": [Reading({"a": v, "b": 10 * v}) for v in values],
            "blur_px": [Reading.alone(v) for v in values],
        }
        for arm, values in (("first", first), ("second", second))
    }


WEIGHTS = {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("text", "second", "expected"),
    [
        ("second.fid / first.fid < 1", [0.50, 0.52, 0.48], "confirmed"),
        ("second.fid / first.fid > 1", [0.50, 0.52, 0.48], "refuted"),
        ("second.fid / first.fid < 1", [0.3, 1.5, 1.0], "undecided"),
        ("second.blur_px - first.blur_px < 0", [0.50, 0.52, 0.48], "confirmed"),
        ("second.blur_px > 0.4", [0.50, 0.52, 0.48], "confirmed"),
        ("second.blur_px > 0.6", [0.50, 0.52, 0.48], "refuted"),
        ("second.fid < 1e3", [0.50, 0.52, 0.48], "confirmed"),
    ],
)
def test_the_interval_decides(text: str, second: list[float], expected: str) -> None:
    one = claim(expect=[text]).expectations[0]
    found = judge(one, readings([1.0, 1.01, 0.99], second), WEIGHTS, 3)
    assert found.outcome == expected
    assert found.low is not None and found.value is not None and found.high is not None
    assert found.low <= found.value <= found.high
    assert bool(found.why) == (expected == "undecided")


@pytest.mark.parametrize("seeds", [1, 2])
def test_few_seeds_decide_nothing_however_clear(seeds: int) -> None:
    one = claim().expectations[0]
    found = judge(one, readings([1.0] * seeds, [0.1] * seeds), WEIGHTS, seeds)
    assert found.outcome == "undecided" and "too few" in found.why


def test_a_score_that_is_missing_decides_nothing() -> None:
    made = readings([1.0] * 3, [0.1] * 3)
    del made["second"]["fid"]
    found = judge(claim().expectations[0], made, WEIGHTS, 3)
    assert found == Finding(
        "second.fid / first.fid < 1", None, None, None, "undecided", "second has no fid"
    )


def finding(word: str) -> Finding:
    return Finding("x", 1.0, 0.5, 2.0, word, "" if word != "undecided" else "wide")  # type: ignore[arg-type]


def test_all_have_to_hold_and_one_refutes() -> None:
    yes, no, open_ = finding("confirmed"), finding("refuted"), finding("undecided")
    assert outcome([yes, yes]) == "confirmed"
    assert outcome([yes, no, open_]) == "refuted"
    assert outcome([yes, open_]) == "undecided"


def test_the_ledger_comes_back_and_the_page_is_made_of_it(tmp_path: Path) -> None:
    known = {"one": claim(), "two": claim(document="001", note="Smaller."), "new": claim()}
    date = "2026-01-02"
    ledger = {
        "one": Entry(digest(known["one"]), "confirmed", [finding("confirmed")], [0, 1, 2], date),
        "two": Entry(digest(known["two"]), "undecided", [finding("undecided")], [0, 1, 2], date),
    }  # fmt: skip
    path = tmp_path / "claims.json"
    path.write_text(as_json(ledger))
    assert load_ledger(path) == ledger
    page = render(known, ledger, {"new": "not run: vgg19 is missing"})
    assert "So far: 1 confirmed, 1 undecided, 1 not run." in page
    assert "**confirmed** | 2026-01-02" in page
    assert "**undecided**: wide" in page
    assert "vgg19 is missing" in page
    assert "- two: Smaller." in page


def test_a_changed_claim_loses_its_verdict_but_not_by_its_words() -> None:
    one = claim()
    entry = Entry(digest(one), "confirmed", [finding("confirmed")], [0, 1, 2], "2026-01-02")
    reworded = claim(claim="Said otherwise.", note="More.")
    assert "**confirmed**" in render({"one": reworded}, {"one": entry}, {})
    stricter = claim(expect=["second.fid / first.fid < 0.5"])
    assert "not run since it was changed" in render({"one": stricter}, {"one": entry}, {})


def test_a_broken_ledger_is_told(tmp_path: Path) -> None:
    path = tmp_path / "claims.json"
    assert load_ledger(path) == {}
    for text in ("{", "[]", '{"one": {}}'):
        path.write_text(text)
        with pytest.raises(UserError, match="judge the claims again"):
            load_ledger(path)


def test_params_within_what_is_no_section_are_told() -> None:
    both = claim(params={"data": 3, "data.subset": 500})
    for own, params in ((both, {}), (claim(params={"data.subset": 500}), {"data": 3})):
        with pytest.raises(UserError, match="a section of keys") as caught:
            shared_params(own, params)
        assert caught.value.where == "data"
