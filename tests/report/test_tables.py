from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sharpvae.config.experiment import VariantConfig
from sharpvae.images.packed import load_card
from sharpvae.report.evidence import Reference
from sharpvae.report.scores import BY_KEY, Estimate, load_artefact
from sharpvae.report.tables import (
    card_rows,
    decimals,
    differences,
    fixed,
    join,
    percent,
    standings,
    thousands,
)
from tests.report.tree import BLURRY, blobs, configuration, write_tree


def marks(key: str, *values: float | tuple[float, ...] | None, places: int = 3) -> list[str]:
    estimates = {
        str(index): None
        if value is None
        else Estimate(value if isinstance(value, tuple) else (value,))
        for index, value in enumerate(values)
    }
    return list(standings(BY_KEY[key], estimates, places).values())


@pytest.mark.parametrize(
    ("key", "values", "best"),
    [
        ("fid", (120.0, 45.0, 60.0), [1]),
        ("psnr", (17.0, 19.8), [1]),
        ("sharpness", (0.6, 1.3), [1]),
        ("sharpness", (0.8, 1.3), [0]),
        ("sharpness", (0.8, 5.0, 1.01), [2]),
        ("brightness_gap", (0.03, -0.01), [1]),
        ("contrast_gap", (-0.5, 0.4, -0.3), [2]),
        ("kid", (-0.001, 0.002), [0]),
        ("active_units", (3.0, 300.0), []),
        ("brightness", (0.1, 0.2), []),
    ],
)
def test_the_better_value_is_marked(key: str, values: tuple[float, ...], best: list[int]) -> None:
    found = marks(key, *values)
    assert [index for index, mark in enumerate(found) if mark] == best


def test_ties() -> None:
    assert marks("fid", 45.0, 45.0) == ["", ""]
    assert marks("fid", 45.0, 45.0, 60.0) == ["best", "best", ""]
    assert marks("fid", 45.0001, 45.0, 60.0) == ["best", "best", ""]  # alike as shown
    assert marks("sharpness", 0.75, 1.25, 0.5) == ["best", "best", ""]
    assert marks("brightness_gap", 0.01, -0.01) == ["", ""]


def test_alone_or_absent_is_not_best() -> None:
    assert marks("fid", 45.0) == [""]
    assert marks("fid", None, 45.0) == ["", ""]
    assert marks("fid", None, 45.0, 50.0) == ["", "best", ""]


def test_clear_needs_separate_intervals() -> None:
    assert marks("fid", (45.0, 46.0, 44.0), (120.0, 121.0, 119.0)) == ["clear", ""]
    assert marks("fid", (45.0, 90.0, 1.0), (50.0, 95.0, 5.0)) == ["best", ""]
    assert marks("fid", 45.0, 120.0) == ["best", ""]
    # clear of one rival is not clear of all
    assert marks("fid", (45.0, 46.0), (120.0, 121.0), (46.0, 47.0)) == ["best", "", ""]


def test_differences() -> None:
    variants: dict[str, dict[str, object]] = {
        "original": {},
        "improved": {"loss.weights.l1": 1.0, "model.widths": [16, 32], "train.weight_decay": 1e-4},
        "wide": {"model.norm": "batch"},
    }
    configs = {
        n: VariantConfig.model_validate(configuration(c)).model_dump() for n, c in variants.items()
    }
    assert differences(configs) == {
        "model.widths": ["[32, 32, 32, 32]", "[16, 32]", "[32, 32, 32, 32]"],
        "model.norm": ["none", "none", "batch"],
        "loss.weights.l1": ["0", "1", "0"],
        "train.weight_decay": ["0", "0.0001", "0"],
    }
    assert differences({"original": configs["original"]}) == {}


@pytest.mark.parametrize(
    ("values", "places"),
    [([1200.3], 0), ([120.4, 1.5], 1), ([45.2], 2), ([1.5], 3), ([0.61], 3), ([0.0123], 4),
     ([11.0, 0.0], 0), ([], 0)],
)  # fmt: skip
def test_decimals(values: list[float], places: int) -> None:
    assert decimals(values) == places


def test_numerals() -> None:
    minus = "\N{MINUS SIGN}"
    assert fixed(-0.00001, 2) == "0.00"
    assert fixed(0.0, 2, signed=True) == "0.00"
    assert fixed(0.031, 3, signed=True) == "+0.031"
    assert fixed(-1.25, 2) == f"{minus}1.25"
    assert percent(-0.624) == f"{minus}62\N{NO-BREAK SPACE}%"
    assert percent(0.0123) == "+1.2\N{NO-BREAK SPACE}%"
    assert thousands(1234567) == "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"
    assert [join("a"), join("ab"), join("abc")] == ["a", "a and b", "a, b and c"]


def test_what_was_left_out_of_the_data_is_told(tmp_path: Path) -> None:
    write_tree(tmp_path, {"original": {0: BLURRY}}, images=blobs(40, 1))
    card = replace(
        load_card(tmp_path / "data/prepared"), class_names=[f"class {n}" for n in range(14)]
    )
    reference = load_artefact(tmp_path / "models/reference/reference.json", Reference)
    reference = reference.model_copy(update={"sharpness": 0.0841, "brightness": 0.101})
    rows = dict(card_rows(card, reference))
    equal = "7 exact duplicates of images in another split"
    assert rows["Left out"] == (
        f"{equal}; 5 files that are no usable image: "
        "0.txt (not an image), 1.txt (not an image), 2.txt (not an image) and 2 more"
    )
    assert dict(card_rows(replace(card, skipped=[]), reference))["Left out"] == equal
    assert rows["Test images"].startswith("sharpness 0.0841 (variance of the Laplacian)")
    assert rows["Images"].endswith("grey; data.fit: pad")
    assert rows["Classes"].endswith("class 10, class 11 and 2 more")
