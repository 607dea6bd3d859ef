from __future__ import annotations

import pytest

from sharpvae.core.config import load_stage
from sharpvae.report.evidence import Evidence, ReportStage, load_evidence
from sharpvae.report.scores import BY_KEY, OPTIONAL, TABLE
from sharpvae.report.scoretable import agreement, best_of, headline_table, judge_table, score_table
from tests.report.tree import BLURRY, SHARP, blobs, comparison, run_of, write_tree


@pytest.mark.parametrize(
    ("key", "values", "best"),
    [
        ("fid", (120.0, 45.0, 60.0), [1]),
        ("psnr", (17.0, 19.8), [1]),
        ("sharpness", (0.6, 1.3), [1]),
        ("sharpness", (0.8, 5.0, 1.01), [2]),
        ("contrast_gap", (-0.5, 0.4, -0.3), [2]),
        ("kid", (-0.001, 0.002), [0]),
        ("active_units", (3.0, 300.0), []),
        ("fid", (45.0, 45.0), []),
        ("fid", (45.0001, 45.0, 60.0), [0, 1]),  # alike as shown
        ("sharpness", (0.75, 1.25, 0.5), [0, 1]),
        ("fid", (45.0,), []),
        ("fid", (None, 45.0), []),
        ("fid", (None, 45.0, 50.0), [1]),
    ],
)
def test_the_best_value(key: str, values: tuple[float | None, ...], best: list[int]) -> None:
    means = {str(index): value for index, value in enumerate(values)}
    assert best_of(BY_KEY[key], means, 3) == [str(index) for index in best]


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """Two variants; the judge without weight orders them the other way round."""
    judges = {"fid": {"imagenet": 9.0, "learned": 1.0, "pixels": 999.0}}
    sharp = run_of(SHARP)
    sharp["judges"] |= judges
    scores = {"original": {0: BLURRY}, "improved": {0: sharp}}
    root = write_tree(tmp_path_factory.mktemp("tables"), scores, images=blobs(40, 1))
    stage = load_stage(root / "configs/report.json", ReportStage)
    return load_evidence(stage, root)


def test_every_score_stands_in_one_of_the_tables(evidence: Evidence) -> None:
    found = evidence.comparison
    head, rest = headline_table(found, evidence), score_table(found, evidence)
    keys = [[r.metric.key for rows in t.groups.values() for r in rows] for t in (head, rest)]
    assert keys[0] == list(TABLE)
    assert sorted(keys[0] + keys[1]) == sorted(set(BY_KEY) - set(OPTIONAL))
    assert all(cell.validation for rows in rest.groups.values() for r in rows for cell in r.cells)


def test_marks_of_faults_are_those_of_the_reference(evidence: Evidence) -> None:
    rows = headline_table(evidence.comparison, evidence).groups[""]
    for row in rows:
        seen = dict(zip(evidence.floors, (floor.sight for floor in row.floors), strict=True))
        expected = evidence.reference.faults.get(row.metric.key, {})
        assert {name: sight for name, sight in seen.items() if sight} == expected


def test_judges_without_weight_say_why(evidence: Evidence) -> None:
    found = evidence.comparison
    rows = {row[0]: row for row in judge_table(found, evidence).rows}
    assert rows["pixels"][3:] == ["original, improved", "0: it is fooled by noise"]
    assert rows["imagenet"][3:] == ["improved, original", "1"]
    assert agreement(found, evidence) == "The judges agree: improved, original, best first."


def test_judges_that_disagree_are_named(evidence: Evidence) -> None:
    sharp = run_of(SHARP)
    sharp["judges"]["fid"]["learned"] = 400.0
    found = comparison({"original": [BLURRY], "improved": [sharp]})
    told = agreement(found, evidence)
    assert "disagree" in told
    assert "by imagenet: improved, original; by learned: original, improved." in told
