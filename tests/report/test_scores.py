from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from sharpvae.core.errors import UserError
from sharpvae.report.scores import (
    BY_KEY,
    CONDITIONAL,
    HEADLINE,
    Comparison,
    Estimate,
    Goal,
    compare,
    distance_range,
    headline_metrics,
    load_scores,
    separate,
)
from tests.report.tree import BLURRY, SHARP, blobs, write_tree


def comparison(*values: dict[str, float | None], latent_dim: int = 32) -> Comparison:
    """One variant, with one set of scores a seed."""
    estimates: dict[str, Estimate | None] = {}
    for key in BY_KEY:
        known = [value for row in values if (value := row[key]) is not None]
        estimates[key] = Estimate(tuple(known)) if known else None
    return Comparison(tuple(range(len(values))), {"one": estimates}, {"one": latent_dim})


def test_half_width_by_hand() -> None:
    # mean 2, standard deviation 1, t(0.975, 2 degrees of freedom) = 4.30265
    estimate = Estimate((1.0, 2.0, 3.0))
    assert estimate.mean == 2
    assert estimate.half_width == pytest.approx(4.302652729911275 / math.sqrt(3))


@pytest.mark.parametrize("count", [2, 3, 5, 20])
def test_half_width_is_students_interval(count: int) -> None:
    values = np.random.default_rng(count).normal(50, 9, count)
    low, high = stats.t.interval(0.95, count - 1, values.mean(), stats.sem(values))
    estimate = Estimate(tuple(values.tolist()))
    assert estimate.interval == pytest.approx((low, high))


def test_one_seed_has_no_interval() -> None:
    assert Estimate((3.0,)).half_width is None
    assert Estimate((3.0,)).interval == (3.0, 3.0)


@pytest.mark.parametrize(
    ("goal", "values", "expected"),
    [
        ("lower", (4.0, 4.0), (4, 4)),
        ("higher", (4.0, 4.0), (-4, -4)),
        ("one", (0.7, 0.7), (0.3, 0.3)),
        ("one", (1.4, 1.4), (0.4, 0.4)),
        ("zero", (-0.2, -0.2), (0.2, 0.2)),
    ],
)
def test_distance_without_spread(
    goal: Goal, values: tuple[float, ...], expected: tuple[float, float]
) -> None:
    assert distance_range(Estimate(values), goal) == pytest.approx(expected)


def test_an_interval_around_the_goal_reaches_it() -> None:
    estimate = Estimate((0.9, 1.2))
    low, high = estimate.interval
    assert low < 1 < high
    assert distance_range(estimate, "one") == pytest.approx((0, max(1 - low, high - 1)))


def test_intervals_on_either_side_of_the_goal_do_not_separate() -> None:
    under, over = Estimate((0.80, 0.81, 0.79)), Estimate((1.20, 1.21, 1.19))
    assert under.interval[1] < over.interval[0]
    assert not separate(under, over, "one")
    assert separate(under, Estimate((0.40, 0.41, 0.39)), "one")
    assert not separate(Estimate((0.8,)), Estimate((0.1,)), "one")


def test_metrics_json_of_one_seed_has_no_intervals() -> None:
    table = headline_metrics(comparison(BLURRY))
    assert list(table["one"]) == [key for key in HEADLINE if key not in CONDITIONAL]
    assert table["one"]["fid"] == 120.4


def test_metrics_json_of_several_seeds() -> None:
    rows = [BLURRY | {"fid": fid} for fid in (100.0, 110.0, 123.0)]
    row = headline_metrics(comparison(*rows))["one"]
    assert row["fid"] == 111.0
    expected = stats.t.ppf(0.975, 2) * stats.sem([100, 110, 123])
    assert row["fid_ci"] == float(f"{expected:.6g}")
    assert row["psnr_ci"] == 0
    assert set(row) == {f"{key}{end}" for key in HEADLINE for end in ("", "_ci")
                        if key not in CONDITIONAL}  # fmt: skip


def test_the_right_class_is_told_where_one_variant_is_conditional() -> None:
    estimates = {
        name: {key: None if value is None else Estimate((value,)) for key, value in row.items()}
        for name, row in (("plain", BLURRY), ("asked", BLURRY | {"class_agreement": 0.93}))
    }
    table = headline_metrics(Comparison((0,), estimates, {"plain": 32, "asked": 32}))
    assert table["asked"]["class_agreement"] == 0.93
    assert table["plain"]["class_agreement"] is None


def test_metrics_json_rounds_to_six_digits() -> None:
    row = headline_metrics(comparison(BLURRY | {"fid": 1234.56789, "contrast_gap": -0.0}))["one"]
    assert row["fid"] == 1234.57
    assert str(row["contrast_gap"]) == "0.0"


def test_a_null_beta_sigma_stays_null() -> None:
    row = headline_metrics(comparison(*[BLURRY | {"beta_sigma": None}] * 2))["one"]
    assert row["beta_sigma"] is row["beta_sigma_ci"] is None


@pytest.mark.parametrize(
    ("active", "latent_dim", "collapsed"),
    [(0, 32, True), (0.9, 32, True), (1, 32, False), (4, 512, True), (6, 512, False)],
)
def test_collapse(active: float, latent_dim: int, collapsed: bool) -> None:
    found = comparison(BLURRY | {"active_units": active}, latent_dim=latent_dim).collapsed("one")
    assert found == ([0] if collapsed else [])


def test_loading(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": {7: SHARP}}, images=blobs(40, 1))
    scores = load_scores(tmp_path / "reports/scores/a/7/scores.json")
    assert scores.scores == SHARP
    assert scores.protocol.rank_deficient
    assert compare({"a": [scores]}, [7], {"a": 32}).estimate("a", "psnr").mean == SHARP["psnr"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fid": None}, "missing or null: fid"),
        ({"ssim": ...}, "missing or null: ssim"),
        ({"recall": 0.3}, "unknown: recall"),
    ],
)
def test_scores_that_the_report_cannot_show(
    tmp_path: Path, change: dict[str, float | None], message: str
) -> None:
    write_tree(tmp_path, {"a": {0: SHARP}}, images=blobs(40, 1))
    path = tmp_path / "reports/scores/a/0/scores.json"
    record = json.loads(path.read_text())
    record["scores"] = {
        key: value for key, value in (record["scores"] | change).items() if value is not ...
    }
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=message) as caught:
        load_scores(path)
    assert caught.value.where == str(path)
