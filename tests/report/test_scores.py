from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from sharpvae.core.errors import UserError
from sharpvae.report.scores import (
    BY_KEY,
    HEADLINE,
    METRICS,
    OPTIONAL,
    TABLE,
    load_scores,
)
from sharpvae.report.scoretable import headline_metrics
from tests.report.tree import BLURRY, SHARP, blobs, comparison, write_tree

SHOWN = [key for key in HEADLINE if key not in OPTIONAL]


def test_every_set_of_images_has_the_same_scores() -> None:
    keys = {metric.key for metric in METRICS}
    assert len(keys) == len(METRICS)
    assert set(TABLE) | set(HEADLINE) <= keys
    assert {"blur_px", "blur_px_mixture", "blur_px_reconstruction"} <= keys
    assert "copied_mixture" in keys
    assert "copied_reconstruction" not in keys
    assert BY_KEY["fid_mixture"].name == "FID, mixture"
    assert BY_KEY["fid_mixture"].base == "fid"
    assert BY_KEY["psnr"].base == "psnr"


def test_metrics_json_of_one_seed_has_no_intervals() -> None:
    row = headline_metrics(comparison({"one": [BLURRY]}))["one"]
    assert list(row) == SHOWN
    assert row["fid"] == pytest.approx(120.4)
    assert row["blur_px"] == 1.0


def test_metrics_json_of_three_seeds() -> None:
    rows = [
        BLURRY | {"fid": fid, "psnr": psnr} for fid, psnr in ((100.0, 17), (110, 18), (123, 19))
    ]
    row = headline_metrics(comparison({"one": rows}))["one"]
    assert set(row) == {f"{key}{end}" for key in SHOWN for end in ("", "_ci")}
    assert row["fid"] == pytest.approx((100 * 110 * 123) ** (1 / 3), rel=1e-5)
    assert row["psnr"] == 18
    assert row["psnr_ci"] == pytest.approx(4.302653 / math.sqrt(3), rel=0.02)
    assert row["beta_sigma_ci"] == 0


def test_the_right_class_is_told_where_one_variant_is_conditional() -> None:
    both = {"plain": [BLURRY], "asked": [BLURRY | {"class_agreement": 0.93}]}
    table = headline_metrics(comparison(both))
    assert table["asked"]["class_agreement"] == 0.93
    assert table["plain"]["class_agreement"] is None


def test_a_likelihood_is_told_where_one_variant_has_it() -> None:
    both = {"plain": [BLURRY], "asked": [BLURRY | {"nll": 88.71}]}
    table = headline_metrics(comparison(both))
    assert table["asked"]["nll"] == 88.71 and table["plain"]["nll"] is None
    assert comparison(both).has("nll") and not comparison({"plain": [BLURRY]}).has("nll")


def test_disentanglement_is_told_where_factors_are_known() -> None:
    known = comparison({"one": [BLURRY | {"mig": 0.25, "dci": 0.5}]})
    row = headline_metrics(known)["one"]
    assert row["mig"] == 0.25 and row["dci"] == 0.5
    assert known.has("mig") and not comparison({"one": [BLURRY]}).has("mig")


def test_metrics_json_rounds_to_six_digits() -> None:
    scores = BLURRY | {"psnr": 1234.56789, "contrast_gap": -0.0}
    row = headline_metrics(comparison({"one": [scores]}))["one"]
    assert row["psnr"] == 1234.57
    assert str(row["contrast_gap"]) == "0.0"


@pytest.mark.parametrize("key", ["beta_sigma", "fid", "blur_px"])
def test_a_null_stays_null(key: str) -> None:
    row = headline_metrics(comparison({"one": [BLURRY, BLURRY | {key: None}]}))["one"]
    assert row[key] is row[f"{key}_ci"] is None


def test_loading(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": {7: SHARP}}, images=blobs(40, 1))
    path = tmp_path / "reports/scores/a/7/scores.json"
    assert load_scores(path).scores == SHARP
    record = json.loads(path.read_text())
    record["scores"]["worst_axis"] = 3  # of no row, so ignored
    del record["scores"]["ssim"]
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="null for ssim") as caught:
        load_scores(path)
    assert caught.value.where == str(path)
