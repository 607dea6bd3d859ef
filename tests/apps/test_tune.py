"""`sharpvae tune` from the command line, without a search."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from apps import tune
from sharpvae.config.resolve import resolve_file
from sharpvae.tune.trial import Record, place, write_record

REPOSITORY = Path(__file__).parents[2]
VALUES = {"train.lr": 0.004, "model.latent_dim": 32, "loss.beta": 0.5,
          "loss.schedules.beta.length": 0.2, "train.batch_size": 32}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for folder in ("presets", "studies", "networks"):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trial(number: int, status: str, fid: float) -> None:
    folder = place(tune.FOLDER, number)
    folder.mkdir(parents=True)
    scores = {"fid": fid, "blur_px": fid}
    write_record(folder, Record(number, VALUES, status, scores, 100, 1.0))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2d", 172800)]
)
def test_a_time_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert tune._seconds(text) == seconds


@pytest.mark.parametrize("wrong", [["--time", "soon"], ["--trials", "0"], ["--jobs", "-1"]])
def test_wrong_usage(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        tune.main(wrong)
    assert caught.value.code == 2 and wrong[0] in capsys.readouterr().err


def test_the_best_is_applied_without_a_search(workspace: Path, capsys) -> None:
    trial(1, "stopped", 1.0)
    trial(2, "done", 5.0)
    assert tune.main(["--apply"]) == 0
    assert "train.lr 0.004" in capsys.readouterr().out
    found = resolve_file(workspace / "params.yaml").experiment.variants["improved"]
    assert found.train.lr == 0.004 and found.loss.schedules.beta.length == 0.2


def test_nothing_is_applied_where_nothing_was_finished(workspace: Path, capsys) -> None:
    before = (workspace / "params.yaml").read_bytes()
    trial(1, "stopped", 1.0)
    assert tune.main(["--apply"]) == 1
    assert "a trial that came to its end" in capsys.readouterr().err
    assert (workspace / "params.yaml").read_bytes() == before


def test_a_missing_extra_is_named(workspace: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert tune.main([]) == 1
    assert "sharpvae[tune]" in capsys.readouterr().err
