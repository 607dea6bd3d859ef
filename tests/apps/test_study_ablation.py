"""Mistakes of `sharpvae study ablation` are told before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps import study_ablation
from tests.toy import toy

FILE = """\
title: a toy
from: original
to: improved
seeds: [0]
match: updates
settings: {train.updates: 26}
factors: {network: [model], rest: [loss, train]}
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    toy(tmp_path)
    (tmp_path / "ablations").mkdir()
    (tmp_path / "ablations/mine.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_plan_is_told_and_nothing_is_written(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    assert study_ablation.main(["mine", "--plan"]) == 0
    said = capsys.readouterr().out
    assert "4 arms" in said and "model.latent_dim" in said
    assert "One seed is an observation" in said
    assert sorted(place.rglob("*")) == before


def test_seeds_can_be_given_instead(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert study_ablation.main(["mine", "--plan", "--seeds", "3,4,5"]) == 0
    assert "seeds 3, 4, 5: 12 trainings" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("from: original", "from: orignal"), "did you mean 'original'"),
        (("rest: [loss, train]", "rest: [loss]"), "train."),
        (("rest: [loss, train]", "rest: [loss, train, data]"), "which all variants share"),
        (("seeds: [0]", "seeds: [0, 0]"), "different integers"),
        (("title", "titel"), "title"),
    ],
)
def test_a_mistake_is_one_message(
    place: Path, change: tuple[str, str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "ablations/mine.yaml").write_text(FILE.replace(*change))
    assert study_ablation.main(["mine"]) == 1
    said = capsys.readouterr().err
    assert "ablations/mine.yaml" in said and told in said
    assert not (place / "experiments").exists()


def test_an_unknown_ablation_is_told_with_the_nearest(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert study_ablation.main(["mien"]) == 1
    assert "did you mean 'mine'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("threads", "processors", "told"),
    [
        (2, 3, "-j 2 with threads: 2 in params.yaml are 4 threads for 3 processors"),
        (2, 3, "Better: threads: 1 "),
        (1, 1, "Better: threads: 1 and -j 1 "),
        (2, 4, None),
        (1, 2, None),
    ],
)
def test_more_threads_than_processors_are_told(
    place: Path, threads: int, processors: int, told: str | None,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    params = place / "params.yaml"
    params.write_text(params.read_text().replace("threads: 1", f"threads: {threads}"))
    monkeypatch.setattr("sharpvae.datasets.decode.cores", lambda: processors)
    assert study_ablation.main(["mine", "--plan", "--jobs", "2"]) == 0
    said = " ".join(capsys.readouterr().out.split()) + " "
    assert told in said if told else "Better" not in said


@pytest.mark.parametrize("wrong", [["--jobs", "0"], ["--seeds", "a"], ["--seeds", ""]])
def test_wrong_usage(place: Path, wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        study_ablation.main(["mine", *wrong])
    assert caught.value.code == 2
