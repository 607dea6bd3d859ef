"""The front, what settings decide, and the page."""

from __future__ import annotations

import csv
import io
import math
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from sharpvae.config.names import Studies, read_settings
from sharpvae.report.theme import LIGHT
from sharpvae.tune.results import (
    PAGE,
    ROWS,
    TEXT,
    Results,
    front,
    importance,
    parallel_panel,
    sentence,
    write,
)
from sharpvae.tune.space import Space, read_space
from sharpvae.tune.trial import Record

REPOSITORY = Path(__file__).parents[2]


def space(*objectives: str) -> Space:
    params = read_settings(REPOSITORY / "params.yaml")
    changed = {"objectives": list(objectives), "space": {
        "train.lr": {"low": 1e-4, "high": 1e-2, "log": True}, "model.widths": [[8, 16], [32, 64]],
        "train.batch_size": {"low": 8, "high": 64},
    }}  # fmt: skip
    return read_space(
        {**params, "tune": {**params["tune"], **changed}}, Studies(REPOSITORY / "studies")
    )


TWO, ONE = space("fid", "coverage"), space("fid")


def record(number: int, status: str = "done", **scores: float) -> Record:
    draw = random.Random(number)
    values = {
        "train.lr": float(f"{10 ** draw.uniform(-4, -2):.3g}"),
        "model.widths": draw.choice([[8, 16], [32, 64]]), "train.batch_size": draw.randint(8, 64),
    }  # fmt: skip
    return Record(number, values, status, scores, 100 if status == "done" else 25, 10.0)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]]) -> None:
    """FID is better low, coverage high."""
    trials = [record(n, fid=float(f), coverage=c / 5) for n, (f, c) in enumerate(points, 1)]
    found = {one.number for one in front(Results(TWO, trials))}
    for n, (fid, coverage) in enumerate(points, 1):
        beats = [
            (f, c) for f, c in points if f <= fid and c >= coverage and (f, c) != (fid, coverage)
        ]
        assert (n in found) == (not beats)


def test_only_finished_trials_can_win() -> None:
    trials = [record(1, fid=9.0), record(2, "stopped", fid=1.0), record(3, "failed")]
    assert [one.number for one in front(Results(ONE, trials))] == [1]
    told = sentence(Results(ONE, trials))
    assert "Of 3 trials 1 were trained to the end and 1 given up early; 1 failed" in told
    assert "One seed is an observation" in told


def test_the_best_is_at_the_top_of_the_last_axis() -> None:
    trials = [record(n, fid=float(fid)) for n, fid in ((1, 30), (2, 10), (3, 20))]
    axes = Figure().add_subplot()
    parallel_panel(Results(ONE, trials)).draw(axes, LIGHT)
    ends = {
        line.get_color(): line.get_ydata()[-1] for line in axes.lines if len(line.get_xdata()) == 4
    }
    assert ends[LIGHT.colour(0)] == 1.0, "the only one on the front"
    assert sorted(line.get_ydata()[-1] for line in axes.lines if len(line.get_xdata()) == 4) == [
        0.0, 0.5, 1.0
    ]  # fmt: skip


def test_a_score_that_does_not_exist_is_the_worst() -> None:
    trials = [record(1, coverage=0.5), record(2, fid=1e6, coverage=0.5)]
    assert [one.number for one in front(Results(TWO, trials))] == [2]


def test_the_setting_that_decides_is_found() -> None:
    trials = [record(n) for n in range(1, 41)]
    trials = [
        one._replace(scores={"fid": 10 + 100 * abs(math.log10(one.values["train.lr"]) + 3)})
        for one in trials
    ]
    shares = importance(Results(ONE, trials))
    assert shares is not None and sum(shares.values()) == pytest.approx(1)
    assert shares["train.lr"] > 0.8
    assert importance(Results(ONE, trials[:3])) is None
    alike = [one._replace(scores={"fid": 1.0}) for one in trials]
    assert importance(Results(ONE, alike)) is None


def test_the_page_tells_all(tmp_path: Path) -> None:
    trials = [record(n, fid=100.0 / n, coverage=1 / n) for n in range(1, 9)]
    trials += [record(9, "stopped", fid=500.0), record(10, "failed")._replace(why="<b>memory</b>")]
    write(Results(TWO, trials), tmp_path)
    page, text = (tmp_path / PAGE).read_text(), (tmp_path / TEXT).read_text()
    best = f"variants.improved.train.lr={trials[7].values['train.lr']!r}"
    assert best in text and "dvc exp run -S" in page
    assert "<b>memory" not in page and page.count("<svg") >= 4
    rows = list(csv.DictReader(io.StringIO((tmp_path / ROWS).read_text())))
    assert [row["trial"] for row in rows] == [str(n) for n in range(1, 11)]
    assert rows[9]["why"] == "<b>memory</b>" and rows[8]["status"] == "stopped"
    assert (tmp_path / "tune.png").stat().st_size > 5000
    before = (tmp_path / PAGE).read_bytes()
    write(Results(TWO, trials), tmp_path)
    assert (tmp_path / PAGE).read_bytes() == before, "the same trials give the same bytes"


def test_one_trial_is_enough_for_a_page(tmp_path: Path) -> None:
    write(Results(ONE, [record(1, fid=3.0)]), tmp_path)
    write(Results(ONE, [record(1, "stopped", fid=3.0)]), tmp_path)
    assert "dvc exp run" not in (tmp_path / PAGE).read_text()
