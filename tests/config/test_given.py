"""A variant that is images made elsewhere: what `configure` makes of it, and what it refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharpvae.config.experiment import stage_files
from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import Resolved, resolve
from sharpvae.config.rules import check
from sharpvae.core.config import load_given
from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.datasets.given import digest
from tests.datasets.samples import REPOSITORY

PARAMS = read_settings(REPOSITORY / "params.yaml")
STUDIES = Studies(REPOSITORY / "studies")
PATH = "theirs.npy"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    np.save(tmp_path / PATH, np.zeros((20, 16, 16), np.uint8))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resolved(first: bool = False, **variant: Any) -> Resolved:
    """The project's params.yaml with `theirs` before or after the other variants."""
    params = copy.deepcopy(PARAMS)
    theirs = {"theirs": {"samples": PATH} | variant}
    params["variants"] = theirs | params["variants"] if first else params["variants"] | theirs
    return resolve(params, STUDIES)


def files(found: Resolved) -> dict[str, Any]:
    return {name: stage.model_dump() for name, stage in stage_files(found.experiment).items()}


def test_trained_variants_are_as_they_were_and_the_report_keeps_the_order() -> None:
    without, first, last = files(resolve(PARAMS, STUDIES)), files(resolved(True)), files(resolved())
    own = {f"theirs/{stage}.json" for stage in ("train", "sample", "evaluate")}
    assert first.keys() - without.keys() == own
    for name in without.keys() - {"report.json"}:
        assert first[name] == without[name]
    names = list(PARAMS["variants"])
    assert list(first["report.json"]["variants"]) == ["theirs", *names]
    assert list(last["report.json"]["variants"]) == [*names, "theirs"]
    assert last["report.json"]["variants"]["theirs"] == {"samples": PATH}


def test_other_images_are_another_configuration_of_this_variant_alone(place: Path) -> None:
    found = resolved()
    check(found)
    before = files(found)
    np.save(place / PATH, np.ones((20, 16, 16), np.uint8))
    after = files(resolved())
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"theirs/train.json", "theirs/sample.json"}
    assert after["theirs/sample.json"]["sha256"] == digest(PATH)


def test_stages_tell_it_from_one_that_is_trained(place: Path) -> None:
    for name, content in files(resolved()).items():
        write_json(place / "configs" / name, content)
    for stage in ("train", "sample"):
        given = load_given(place / f"configs/theirs/{stage}.json")
        assert given is not None and given.samples == PATH
        assert load_given(place / f"configs/improved/{stage}.json") is None


@pytest.mark.parametrize(
    ("variant", "parts"),
    [
        ({"samples": "nowhere.zip"}, ["variants.theirs.samples", "no such file or folder"]),
        ({"samples": 3}, ["variants.theirs.samples", "a path", "3 (int)"]),
        ({"samples": "words.txt"}, ["variants.theirs.samples", "words.txt: another kind of file"]),
        ({"loss": {"beta": 1.0}}, ["variants.theirs.loss", "nothing beside variants.theirs.samp"]),
        ({"study": "s001-fixed"}, ["variants.theirs.study", "nothing beside"]),
        ({"sample": {}}, ["variants.theirs.sample", "nothing beside"]),
        ({"wrong": 1}, ["variants.theirs.wrong", "nothing beside"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_names_its_key(place: Path, variant: dict[str, Any], parts: list[str]) -> None:
    (place / "words.txt").write_text("words")
    with pytest.raises(UserError) as caught:
        check(resolved(**variant))
    for part in parts:
        assert part in str(caught.value), caught.value


def test_null_is_no_samples_and_samples_are_no_presets() -> None:
    assert resolved(samples=None).experiment.given == {}
    params = copy.deepcopy(PARAMS)
    params["presets"]["toy"]["variants"] = {"theirs": {"samples": PATH}}
    with pytest.raises(UserError, match=r"presets\.toy\.variants\.theirs\.samples"):
        resolve(params, STUDIES)


def test_at_least_one_variant_is_trained() -> None:
    with pytest.raises(UserError, match=r"(?s)variants.*sharpvae score"):
        resolve({**PARAMS, "variants": {"theirs": {"samples": PATH}}}, STUDIES)
