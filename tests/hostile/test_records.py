"""Damaged JSON and CSV of stages: what the stage wrote, or one error that names the file."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from sharpvae.core.artefacts import Artefact, load_artefact
from sharpvae.core.config import load_given
from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json
from sharpvae.images.packed import Card, Skipped, load_card
from sharpvae.perception.critic import CriticShape
from sharpvae.proof.ledger import load_ledger
from sharpvae.report.artefacts import Cost, Reference, Summary, load_floors
from sharpvae.report.evidence import load_history
from sharpvae.report.scores import load_scores
from sharpvae.scoring.evaluate import Drawn, Ended, Judges, Likelihood
from sharpvae.tune.trial import read_record
from tests.hostile.campaign import attack, hostile
from tests.hostile.mutate import PLAIN, mutants, tree_mutants
from tests.hostile.test_weights import written
from tests.report.tree import every_score, write_tree

CARD = Card(
    name="folder", title="Leaves", licence="", citation="", source="/leaves", image_size=16,
    channels=1, class_names=["a", "b"], counts={"train": 3, "validation": 2, "test": 2},
    class_counts={"train": [2, 1]}, factor_names=None, sha256={"test": "0" * 64}, fit="pad",
    subset=0.5, classes=None, binarize=None, seed=0, duplicates_removed=0,
    skipped=[Skipped("a.txt", "not an image")],
)  # fmt: skip
LEDGER = {"claim": {"digest": "a", "outcome": "confirmed", "seeds": [0], "date": "2026-11-27",
                    "findings": [{"text": "a.fid < 1", "value": 0.5, "low": 0.1, "high": 0.9,
                                  "outcome": "confirmed", "why": ""}]}}  # fmt: skip
GIVEN = {"variant": "a", "samples": "a.npz", "sha256": "0" * 64, "count": None}


def whole(kind: type[Artefact]) -> Callable[[Path], Any]:
    return lambda path: load_artefact(path, kind)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[bytes, Callable[..., Any]]]:
    """File -> its content, and what reads it."""
    values = every_score(2.0, (9.0, 8.0, 7.0), 20.0, 4, 0.5)
    root = write_tree(tmp_path_factory.mktemp("tree"), {"one": {0: values}})
    scores, live = root / "reports/scores/one/0", root / "reports/live/one/0"
    made: dict[str, tuple[Any, Callable[..., Any]]] = {
        "scores.json": (scores / "scores.json", load_scores),
        "summary.json": (scores / "summary.json", whole(Summary)),
        "history.csv": (scores / "history.csv", load_history),
        "cost.json": (live / "cost.json", whole(Cost)),
        "floors.json": (root / "reports/floors.json", load_floors),
        "reference.json": (root / "models/reference/reference.json", whole(Reference)),
        "card.json": (asdict(CARD), lambda path: load_card(path.parent)),
        "claims.json": (LEDGER, load_ledger),
        "train.json": (GIVEN, load_given),
        "weighed.json": ({"judges": {"a": {"weight": 1.0}}}, whole(Judges)),
        "ended.json": ({"beta_sigma": 0.5, "beta_whole": None}, whole(Ended)),
        "likelihood.json": ({"left_out": "none"}, whole(Likelihood)),
        "priors.json": ({"headline": "flow", "validation": {"flow": -9.5}}, whole(Drawn)),
        "trial.json": (
            {
                "number": 3,
                "values": {"lr": 0.5},
                "status": "done",
                "scores": {"fid": 2.5},
                "progress": 100,
                "seconds": 1.5,
            },
            lambda path: read_record(path.parent),
        ),
        "critic.json": (
            {"image_channels": 1, "classes": 4, "widths": [4, 8], "feature_variances": [0.5, 2]},
            whole(CriticShape),
        ),
    }
    return {
        name: (own.read_bytes() if isinstance(own, Path) else json.dumps(own).encode(), read)
        for name, (own, read) in made.items()
    }


@hostile()
def test_a_damaged_record_is_one_or_told(
    request: pytest.FixtureRequest, files: Any, tmp_path: Path, count: int
) -> None:
    """All of them in one campaign, in turn: bytes, and then values."""
    inputs: list[tuple[str, bytes]] = []
    for name, (content, _) in files.items():
        share = count // (2 * len(files)) + 1
        inputs += [(name, data) for data in mutants([content], share)]
        if name.endswith(".json"):
            trees = tree_mutants([json.loads(content)], share, PLAIN)
            inputs += [(name, written(tree)) for tree in trees]
    for name, (content, read) in files.items():
        (tmp_path / name).write_bytes(content)
        read(tmp_path / name)

    def damaged(item: tuple[str, bytes]) -> None:
        name, data = item
        (tmp_path / name).write_bytes(data)
        try:
            files[name][1](tmp_path / name)
        except UserError as error:
            if not (name in error.where and error.fix):
                raise AssertionError(f"a message without a name or a remedy: {error}") from None
            raise

    tally = attack(request, "records: JSON and CSV of stages", inputs[:count], damaged)
    assert tally.right and tally.refused


@pytest.mark.parametrize("text", ["[" * 100_000, "1" * 5000, "{", "", "\ufeff{}"])
def test_json_that_no_parser_takes_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(UserError, match="valid JSON"):
        read_json(tmp_path / "a.json")
