from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sharpvae.config.experiment import VariantConfig
from sharpvae.core.artefacts import load_artefact
from sharpvae.core.config import load_stage
from sharpvae.images.packed import load_card
from sharpvae.report.artefacts import Reference
from sharpvae.report.evidence import Evidence, ReportStage, load_evidence
from sharpvae.report.numerals import NOTHING, decimals, fixed, join, short, thousands
from sharpvae.report.scores import TABLE
from sharpvae.report.tables import (
    budget_table,
    card_rows,
    differences,
    protocol_notes,
    validation_table,
)
from tests.report.tree import (
    BLURRY,
    PROTOCOL,
    SHARP,
    VARIANT,
    blobs,
    configuration,
    run_of,
    write_tree,
)


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


def test_a_setting_that_a_network_does_not_have_is_a_difference() -> None:
    ours, own = {"kernel": 4}, {"arguments": {"a": 1}}
    found = differences({"ours": {"model": ours}, "own": {"model": own}})
    assert found == {"model.kernel": ["4", NOTHING], "model.arguments.a": [NOTHING, "1"]}


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
    assert [short(0.3284), short(7.06), short(1500.2), short(0)] == ["0.33", "7.1", "1500", "0"]
    assert short(-0.000123) == f"{minus}0.0001"
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
    equal = "7 exact duplicates of other images"
    assert rows["Left out"] == (
        f"{equal}; 5 files that are no usable image: "
        "0.txt (not an image), 1.txt (not an image), 2.txt (not an image) and 2 more"
    )
    assert dict(card_rows(replace(card, skipped=[]), reference))["Left out"] == equal
    assert rows["Test images"].startswith("sharpness 0.0841 (variance of the Laplacian)")
    assert rows["Images"].endswith("grey; data.fit: pad")
    assert rows["Classes"].endswith("class 10, class 11 and 2 more")


def test_the_budget_is_the_mean_over_seeds(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"a": {0: BLURRY, 1: BLURRY}, "b": {0: SHARP, 1: SHARP}})
    summary = root / "reports/scores/b/1/summary.json"
    summary.write_text(summary.read_text().replace('"steps": 660', '"steps": 340'))
    cost = root / "reports/live/b/1/cost.json"
    cost.write_text('{"seconds": 16.75, "device": "cuda"}')
    table = budget_table(evidence_of(root))
    batch = VARIANT["train"]["batch_size"]
    assert table.head == ["Budget", "a", "b"]
    assert {row[0]: row[1:] for row in table.rows} == {
        "Parameters": [thousands(1234567)] * 2,
        "Multiply-adds an image": [thousands(4567890)] * 2,
        "Updates": ["660", "500"],
        "Images seen": [thousands(660 * batch), thousands(500 * batch)],
        "Training, s": ["83", "50"],
        "Trained on": ["cpu (2 threads)", "cpu (2 threads) and cuda"],
    }


def test_validation_scores_are_of_the_validation_split(tmp_path: Path) -> None:
    record = run_of(BLURRY, validation=BLURRY | {"fid": 77.0, "blur_px": None})
    table = validation_table(evidence_of(write_tree(tmp_path, {"a": {0: record}})))
    found = dict(row[:2] for row in table.rows)
    assert found["FID"] == "77" and found["Blur, px"] == NOTHING and len(found) == len(TABLE)


def test_what_limits_the_scores_is_told(tmp_path: Path) -> None:
    evidence = evidence_of(write_tree(tmp_path, {"a": {0: BLURRY}}))
    assert (
        "With 60 images every" in protocol_notes(evidence)[0] and len(protocol_notes(evidence)) == 1
    )
    judges = dict(evidence.reference.judges)
    judges["imagenet"] = judges["imagenet"].model_copy(update={"why": "it is blind to blur_1"})
    alone = replace(evidence, reference=evidence.reference.model_copy(update={"judges": judges}))
    assert "imagenet decides alone, though it is blind" in protocol_notes(alone)[1]
    many = run_of(BLURRY, protocol={**PROTOCOL, "fakes": 1000, "reals": 1000})
    assert protocol_notes(evidence_of(write_tree(tmp_path / "b", {"a": {0: many}}))) == []


def evidence_of(root: Path) -> Evidence:
    return load_evidence(load_stage(root / "configs/report.json", ReportStage), root)
