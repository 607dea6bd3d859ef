"""What is compared with what, and by how much it must be corrected."""

from __future__ import annotations

import numpy as np
import pytest

from sharpvae.report.comparison import MOST
from sharpvae.report.scores import TABLE
from sharpvae.report.scoretable import every_table, headline_metrics
from tests.report.tree import BLURRY, SHARP, comparison, run_of


def test_a_null_has_its_reason() -> None:
    found = comparison({"one": [BLURRY | {"blur_px": None}]})
    assert found.reason("one", "blur_px") == "all images are alike"
    assert found.reason("one", "psnr") == found.reason("one", "class_agreement") == ""


def test_a_judge_without_weight_has_no_say() -> None:
    runs = {"original": [BLURRY], "improved": [SHARP]}
    assert comparison(runs).effects["improved", "fid"].judges == ("imagenet", "learned")
    alone = comparison(runs, {"imagenet": 1.0, "learned": 0.0, "pixels": 0.0})
    assert alone.mean("original", "fid") == pytest.approx(4 * 120.4)


def test_changes_are_corrected_for_their_number() -> None:
    found = comparison({"original": [BLURRY], "improved": [SHARP], "same": [BLURRY]})
    assert found.change("improved", "fid") == "better"
    assert {found.change("same", key) for key in TABLE} == {"no difference shown"}
    assert all(
        effect.adjusted_p >= effect.p
        for effect in found.effects.values()
        if effect.p is not None and effect.adjusted_p is not None
    )
    # without replicates and with one seed nothing says what chance does
    assert found.change("improved", "artefact") == "no difference shown"


def test_equal_sets_have_a_distance_of_rounding_alone() -> None:
    found = comparison({"original": [BLURRY], "improved": [SHARP | {"fid": -1e-9}]})
    assert np.isfinite(found.effects["improved", "fid"].estimate)


def test_of_many_variants_the_first_and_the_best_are_shown() -> None:
    """The best by validation, whatever the test split says; all take part in the correction."""
    runs = {"first": [run_of(SHARP | {"fid": 500.0})]}
    for place in range(2 * MOST):
        run = run_of(SHARP | {"fid": 10.0 + place}, collapsed=place == 3)
        run["validation"]["fid"] = 100.0 - place
        runs[f"v{place}"] = [run]
    found = comparison(runs)
    order = [*reversed(range(4, 2 * MOST)), 2, 1, 0, 3]
    assert found.ranked == ["first", *(f"v{place}" for place in order)]
    assert found.variants == ["first", *(f"v{place}" for place in range(MOST + 1, 2 * MOST))]
    assert list(headline_metrics(found)) == list(runs)
    assert not found.steps, "those between two that are shown may be hidden"
    table = every_table(found)
    assert table is not None
    assert [row[0] for row in table.rows] == found.ranked
    (column,) = (i for i, head in enumerate(table.head) if head.startswith("Sharpness"))
    assert table.rows[-1][column].endswith("collapsed")
    few = comparison({name: runs[name] for name in found.variants})
    p = found.effects["v19", "fid"].adjusted_p
    assert p is not None
    assert p > (few.effects["v19", "fid"].adjusted_p or 1)


def test_a_few_variants_are_all_shown_in_their_order() -> None:
    found = comparison({f"v{place}": [SHARP | {"fid": 50.0 - place}] for place in range(MOST)})
    assert found.variants == list(found.runs)
    assert every_table(found) is None
    assert len(found.steps) == MOST - 1
