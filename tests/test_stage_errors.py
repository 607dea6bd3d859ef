"""A stage that cannot do its work says why in a line, at once, and leaves what lies there."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.toy import fresh, passes, stage, toy


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ("  beta: null ", "  betta: 0.5 ", "did you mean 'beta'"),
        ("  beta: null ", "  beta: much ", "a number"),
        ("preset: toy", "preset: tuy", "did you mean 'toy'"),
        ("name: mnist5k", "name: mnist6k", "did you mean 'mnist5k'"),
        ("  image_size: null ", "  image_size: 20 ", "multiple of 16"),
        ("  count: null ", "  count: 1 ", ">= 2"),
        ("  beta: null ", "  beta: [0.5 ", "valid YAML"),
        ("  arithmetic: null ", "  arithmetic: [['1', 'l', '2']] ", "sample.arithmetic[0]"),
    ],
)
def test_a_mistake_in_params_costs_three_seconds_and_nothing_else(
    tmp_path: Path, old: str, new: str, part: str
) -> None:
    place = toy(tmp_path)
    passes(place, "configure")
    before = {path: path.read_bytes() for path in (place / "configs").rglob("*.json")}
    text = (place / "params.yaml").read_text()
    assert old in text
    (place / "params.yaml").write_text(text.replace(old, new))
    started = time.monotonic()
    done = fresh(place, "configure")
    assert time.monotonic() - started < 3
    assert done.returncode == 1
    assert part in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert {path: path.read_bytes() for path in (place / "configs").rglob("*.json")} == before
    assert not list(place.glob(".configs*")), "no temporary folder is left"


def test_too_few_images_are_refused_before_training_and_the_data_stays(tmp_path: Path) -> None:
    place = toy(tmp_path)
    passes(place, "configure")
    passes(place, "prepare")
    before = (place / "data/prepared/card.json").read_bytes()
    presets = place / "presets/presets.yaml"
    presets.write_text(presets.read_text().replace("subset: 600", "subset: 40"))
    passes(place, "configure")
    done = stage(place, "prepare")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "data.subset" in done.stderr and "at least 32 train images" in done.stderr
    assert (place / "data/prepared/card.json").read_bytes() == before


def test_a_stage_without_its_inputs_says_what_to_run(tmp_path: Path) -> None:
    for name, *arguments in (
        ("prepare",), ("critic",), ("reference",), ("train", "x", "0"), ("sample", "x", "0"),
        ("evaluate", "x", "0"), ("report",),
    ):  # fmt: skip
        done = stage(tmp_path, name, *arguments)
        assert done.returncode == 1, name
        assert "dvc repro" in done.stderr and "Traceback" not in done.stderr, done.stderr


def test_wrong_arguments_show_the_usage(tmp_path: Path) -> None:
    done = stage(tmp_path, "train", "original")
    assert done.returncode == 2
    assert "usage: python -m stages.train <variant> <seed>" in done.stderr
