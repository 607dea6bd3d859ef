"""What is compared with what, and by how much it must be corrected."""

from __future__ import annotations

import numpy as np
import pytest

from sharpvae.report.scores import TABLE
from tests.report.tree import BLURRY, SHARP, comparison


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
