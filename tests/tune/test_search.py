"""A search with a real Ray of two workers: killed in part and whole, resumed, repeated by DVC."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from ruamel.yaml import YAML

from sharpvae.config.names import STUDIES, Studies, read_settings
from sharpvae.config.tune import TuneConfig
from sharpvae.core.devices import borrowed
from sharpvae.core.files import read_json
from sharpvae.core.threads import VARIABLES
from sharpvae.tune.search import decoded, distributions, encoded, ordered, study, values
from sharpvae.tune.space import Space, read_space
from sharpvae.tune.trial import STAGES, Record, Run, records
from tests.processes import interruptible
from tests.toy import REPOSITORY, dvc, dvc_environment, passes, toy, under_dvc

MAIN = "import sys; from apps.main import main; sys.exit(main(sys.argv[1:]))"
SPACE = {
    "train.lr": {"low": 1e-4, "high": 1e-2, "log": True},
    "model.widths": [[16, 32], [16, 32, 32]],
    "train.batch_size": {"low": 16, "high": 32},
}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace at toy size, whose search takes seconds a trial."""
    place = toy(tmp_path_factory.mktemp("prepared"))
    yaml = YAML()
    params = yaml.load((place / "params.yaml").read_text())
    for name in ("original", "sharp"):
        del params["variants"][name]
    params["train"]["updates"] = 200  # so many that a training can be killed
    params["tune"] |= {"objectives": ["fid"], "space": SPACE}
    yaml.dump(params, place / "params.yaml")
    dvc(under_dvc(place), "repro", "prepare", "critic", "reference")
    return place


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    return shutil.copytree(prepared, tmp_path / "copy", symlinks=True)


def searching(place: Path, *arguments: str) -> subprocess.Popen[str]:
    command = interruptible(sys.executable, "-u", "-c", MAIN, "tune", "-j", "2", *arguments)
    return subprocess.Popen(
        command, cwd=place, env=dvc_environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def trainings(place: Path) -> list[psutil.Process]:
    """The stages that run below a workspace."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if "stages.train" in words and str(place) in (process.info["cwd"] or ""):
            found.append(process)
    return found


def wait(process: subprocess.Popen[str], ready: object, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():  # type: ignore[operator]
        if process.poll() is not None or time.monotonic() > end:
            process.kill()
            pytest.fail(process.communicate()[0])
        time.sleep(0.1)


def ended(place: Path) -> list[Record]:
    return [r for r in records(place / "experiments/tune") if r.status in ("done", "stopped")]


def test_one_that_was_given_up_teaches_as_one_that_nothing_in_it_redeems() -> None:
    """The blur of noise is low, and would put it on the front."""
    names, scores = ["fid", "blur_px"], {"fid": 900.0, "blur_px": 0.0}
    assert values(names, scores, done=True) == [900.0, 0.0]
    assert values(names, scores, done=False) == [900.0, math.inf]
    assert values(names, {"fid": 80.0}, done=True) == [80.0, math.inf]
    space = read_space(read_settings(REPOSITORY / "params.yaml"), Studies(REPOSITORY / STUDIES))
    settings = {
        "train.lr": 1e-3, "model.latent_dim": 32, "loss.beta": 1.0,
        "loss.schedules.beta.length": 0.1, "train.batch_size": 64,
    }  # fmt: skip
    known = [
        Record(1, settings, "done", {"fid": 80.0, "blur_px": 0.5}, 100, 9.0, ""),
        Record(2, settings, "stopped", scores, 25, 3.0, ""),
        Record(3, settings, "failed", {}, 0, 1.0, "memory"),
    ]
    told = [trial.values for trial in study(space, known).trials if trial.values]
    assert told == [[80.0, 0.5], [900.0, math.inf]]


@pytest.mark.parametrize(
    ("choices", "expected"),
    [([16, 32, 64], True), ([1e-3, 1e-4], True), ([2, 1, 3], False), ([1, 1], False),
     ([False, True], False), ([[16], [16, 32]], False), (["adam", "adamw"], False),
     ([None, 8], False)],
)  # fmt: skip
def test_what_is_drawn_of_a_list_is_one_of_its_values(choices: list[Any], expected: bool) -> None:
    """Numbers in order by their place, which has neighbours; all others by their text."""
    assert ordered(choices) is expected
    config = TuneConfig(
        variant="improved", objectives=["fid"], sampler="tpe", seed=0, space={"model.x": choices}
    )
    space = Space({}, {}, config, 0)
    for value in choices:
        known, drawn = encoded(space, {"model.x": value}), distributions(space)["model.x"]
        assert drawn._contains(drawn.to_internal_repr(known["model.x"]))
        assert decoded(space, known) == {"model.x": value}


@pytest.mark.slow
@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_the_last_score_of_a_trial_is_that_of_evaluate(
    place: Path, monkeypatch: pytest.MonkeyPatch, prior: str
) -> None:
    """To the bit; of draws from N(0, I) it is found without that stage."""
    for name in VARIABLES:  # which the trial sets for good
        monkeypatch.setenv(name, "1")
    yaml = YAML()
    params = yaml.load((place / "params.yaml").read_text())
    params["sample"]["prior"] = prior
    yaml.dump(params, place / "params.yaml")
    space = read_space(read_settings(place / "params.yaml"), Studies(place / STUDIES))
    settings = {"train.lr": 1e-3, "model.widths": [16, 32], "train.batch_size": 32}
    trial = place / "trial"
    with borrowed("cpu"):
        run = Run(space, place, trial, 1, settings)
        while (record := run.next()).status != "done":
            assert record.status == "running"
    for name in ("sample", "evaluate"):
        assert (trial / STAGES[name]).exists() == (prior == "mixture")
        if prior == "normal":
            passes(trial, name, "improved", "0")
    told = read_json(trial / "reports/scores/improved/0/scores.json")["validation"]
    assert json.dumps(record.scores) == json.dumps({"fid": told["fid"]})


@pytest.mark.slow
def test_killed_in_part_and_whole_it_goes_on_and_dvc_repeats_the_best(place: Path) -> None:
    first = searching(place, "--trials", "3")
    wait(first, lambda: trainings(place))
    worker = trainings(place)[0].parent()
    assert worker is not None
    worker.kill()  # Ray starts another, and the trial goes on
    wait(first, lambda: ended(place))
    wait(first, lambda: trainings(place))
    first.send_signal(signal.SIGKILL)
    first.communicate()
    wait_end = time.monotonic() + 60
    while trainings(place):  # they save what they have, and end with their workers
        assert time.monotonic() < wait_end
        time.sleep(0.2)
    before = {record.number for record in ended(place)}
    assert before
    second = searching(place, "--trials", "3", "--resume")
    told, _ = second.communicate(timeout=400)
    assert second.returncode == 0, told
    found = records(place / "experiments/tune")
    assert len(found) == 3 and {record.status for record in found} <= {"done", "stopped"}
    for number in before:
        assert f"trial {number} " not in told.replace("Trial", "trial").split("Of 3")[0]
    assert (place / "reports/tune/tune.html").exists()
    assert not list((place / "experiments/tune").rglob("*.pkl")), "nothing to unpickle is kept"
    line = next(line for line in told.splitlines() if line.startswith("dvc exp run"))
    again(place, line, found)


def again(place: Path, line: str, found: list[Record]) -> None:
    """What the search prints, run by DVC, has the scores that it said, to the bit."""
    from dvc.utils.hydra import apply_overrides

    words = [word for word in shlex.split(line)[3:] if word != "-S"]
    apply_overrides(place / "params.yaml", words)
    dvc(place, "repro", "evaluate")
    scores = read_json(place / "reports/scores/improved/0/scores.json")["validation"]
    best = min((r for r in found if r.status == "done"), key=lambda r: r.scores["fid"])
    assert json.dumps(scores["fid"]) == json.dumps(best.scores["fid"])


@pytest.mark.slow
def test_what_lies_there_is_not_lost(place: Path) -> None:
    nothing = searching(place, "--resume")
    told, _ = nothing.communicate(timeout=120)
    assert nothing.returncode == 1 and "a search to go on with" in told
    trial = place / "experiments/tune/0001"
    trial.mkdir(parents=True)
    (trial / "trial.json").write_text("{}")
    other = searching(place)
    told, _ = other.communicate(timeout=120)
    assert other.returncode == 1 and "--resume" in told and "Traceback" not in told
    assert (trial / "trial.json").read_text() == "{}"


@pytest.mark.slow
def test_its_time_is_an_end(place: Path) -> None:
    """And no interruption; what was under way is told, and waits for --resume."""
    timed = searching(place, "--trials", "50", "--time", "25s")
    told, _ = timed.communicate(timeout=200)
    assert timed.returncode == 0, told
    statuses = [record.status for record in records(place / "experiments/tune")]
    assert 0 < len(statuses) < 50
    left = statuses.count("running")
    assert not left or f"{left} cut off, which --resume goes on with" in " ".join(told.split())
    assert not trainings(place)
