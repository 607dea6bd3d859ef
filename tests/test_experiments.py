"""The pipeline under DVC: what a change reruns, and what it leaves alone. Toy size, but real."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides

from tests.processes import interruptible
from tests.toy import toy_size

REPOSITORY = Path(__file__).parents[1]
PROJECT = (
    "stages", "sharpvae", "presets", "studies", "networks", "samples", ".dvc/config", ".dvc/plots",
    ".dvcignore", ".gitignore", "data/.gitignore", "models/.gitignore", "dvc.yaml", "params.yaml",
)  # fmt: skip

pytestmark = pytest.mark.slow


def environment() -> dict[str, str]:
    return {
        **os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "t", "GIT_AUTHOR_EMAIL": "t@example.org", "GIT_COMMITTER_NAME": "t",
        "GIT_COMMITTER_EMAIL": "t@example.org",
    }  # fmt: skip


def run(place: Path, *command: str, expect: int = 0) -> str:
    done = subprocess.run(
        command, cwd=place, env=environment(), capture_output=True, text=True, timeout=590
    )
    said = done.stdout + done.stderr
    assert done.returncode == expect, said
    return said


def ran(said: str) -> set[str]:
    """Stages that DVC executed, `configure` left out: it reruns whenever params.yaml changes."""
    return set(re.findall(r"Running stage '([^']+)'", said)) - {"configure"}


def of(variant: str, *seeds: int) -> set[str]:
    return {f"{s}@{variant}-{n}" for s in ("train", "sample", "evaluate") for n in seeds}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone at toy size, its pipeline run once and committed; two variants are enough here."""
    place = tmp_path_factory.mktemp("project") / "with a space"
    place.mkdir()
    for name in PROJECT:
        source, target = REPOSITORY / name, place / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    params = place / "params.yaml"
    text = toy_size(params.read_text())
    params.write_text(text[: text.index("\n  sharp:")] + "\n")
    run(place, "git", "init", "-q")
    run(place, "dvc", "repro")
    commit(place)
    return place


def commit(place: Path) -> None:
    run(place, "git", "add", ".")
    run(place, "git", "commit", "-q", "-m", "state")


@pytest.fixture
def experiment(project: Path):
    """Runs `dvc exp run`; afterwards the project is as it was."""
    yield lambda *changes: run(
        project, "dvc", "exp", "run", *(part for change in changes for part in ("-S", change))
    )
    run(project, "git", "checkout", "-q", ".")
    run(project, "dvc", "checkout", "-q", "--force")


def test_a_second_run_does_nothing_and_takes_hardly_longer_than_dvc_itself(project: Path) -> None:
    """Than `dvc dag`, which reads the same files and no artefact; the quickest of three each."""
    took: dict[str, list[float]] = {"dag": [], "repro": []}
    for _ in range(3):
        for command, times in took.items():
            started = time.monotonic()
            said = run(project, "dvc", command)
            times.append(time.monotonic() - started)
        assert "Running stage" not in said and "up to date" in said
    assert min(took["repro"]) < 2 * min(took["dag"])


def test_a_fresh_clone_is_up_to_date(project: Path, tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", str(project), "clone")
    said = run(tmp_path / "clone", "dvc", "repro", "--dry", "--allow-missing")
    assert "Running stage" not in said, said
    assert "up to date" in said


def test_a_change_in_a_folder_reruns_the_stages_that_list_it_and_no_other(project: Path) -> None:
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    for folder in sorted(path for path in (project / "sharpvae").iterdir() if path.is_dir()):
        with new_last_line(max(folder.glob("*.py"))):  # an __init__.py comes first
            changed = json.loads(run(project, "dvc", "status", "--json"))
        listing = {
            stage
            for stage, told in stages.items()
            if {"sharpvae", f"sharpvae/{folder.name}"} & set(told["deps"])
        }
        ours = {
            stage.split("@")[0]
            for stage, why in changed.items()
            if any("sharpvae" in dep for deps in why for dep in deps.get("changed deps", {}))
        }
        assert ours == listing, folder.name
        beside = ("config", "gallery", "given", "proof", "trained", "tune")  # above the stages
        assert listing != {"configure"} or folder.name in beside, f"{folder.name} is unused"


@contextmanager
def new_last_line(path: Path) -> Iterator[None]:
    before = path.read_bytes()
    path.write_bytes(before + b"# touched\n")
    try:
        yield
    finally:
        path.write_bytes(before)


def test_what_python_and_editors_leave_changes_nothing(project: Path) -> None:
    names = ("__pycache__/files.cpython-311.pyc", ".DS_Store", ".files.py.swp", "files.py~")
    left = [project / "sharpvae/core" / name for name in names]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"?")
    try:
        assert json.loads(run(project, "dvc", "status", "--json")) == {}
    finally:
        for path in left:
            path.unlink()


def test_beta_retrains_only_who_inherits_it(project: Path, experiment, tmp_path: Path) -> None:
    """And DVC lists, compares and plots the experiment."""
    said = experiment("loss.beta=1.0")
    assert ran(said) == of("improved", 0) | {"report"}
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert metrics["improved"]["beta_sigma"] == pytest.approx(1.0)
    diff = run(project, "dvc", "metrics", "diff")
    assert "improved.beta_sigma" in diff and "original" not in diff
    assert re.search(r"loss\.beta\W+(None\W+)?1\.0", run(project, "dvc", "params", "diff"))
    listed = run(project, "dvc", "exp", "show", "--only-changed", "--no-pager", "--csv")
    assert "improved.fid" in listed
    run(project, "dvc", "plots", "diff", "HEAD", "-o", str(tmp_path / "plots"))
    page = (tmp_path / "plots/index.html").read_text()
    assert "reports/curves.csv" in page.replace("::", "/") or "curves" in page
    assert list((tmp_path / "plots").rglob("*samples.png"))


@pytest.mark.usefixtures("experiment")
@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("variants.improved.model.latent_dim=64", {"train@improved-0"}),
        ("sample.count=1001", {"sample@original-0", "sample@improved-0"}),
    ],
)
def test_a_change_touches_what_depends_on_it_alone(
    project: Path, change: str, stages: set[str]
) -> None:
    apply_overrides(project / "params.yaml", [change])
    run(project, "dvc", "repro", "configure")
    assert set(json.loads(run(project, "dvc", "status", "--json"))) == stages | {"report"}


def test_a_new_arm_trains_alone_and_joins_the_report(project: Path, experiment) -> None:
    said = experiment("++variants.wide={model: {widths: [256, 512, 1024, 2048]}}")
    assert ran(said) == of("wide", 0) | {"report"}
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert list(metrics) == ["original", "improved", "wide"]
    assert "wide" in (project / "reports/report.html").read_text()


def test_a_new_seed_trains_only_itself(project: Path, experiment) -> None:
    said = experiment("seeds=[0,1]")
    assert ran(said) == of("original", 1) | of("improved", 1) | {"report"}
    metrics = json.loads((project / "reports/metrics.json").read_text())
    assert metrics["original"]["fid_ci"] > 0


def test_a_removed_variant_leaves_the_report(project: Path, experiment) -> None:
    params = project / "params.yaml"
    content = yaml.safe_load(params.read_text())
    del content["variants"]["original"]
    params.write_text(yaml.safe_dump(content))
    assert ran(run(project, "dvc", "repro")) == {"report"}
    assert list(json.loads((project / "reports/metrics.json").read_text())) == ["improved"]


def test_a_mistake_leaves_everything_as_it_was(project: Path) -> None:
    """And takes back to up to date once it is mended."""
    params = project / "params.yaml"
    before = params.read_text()
    state = {path: path.read_bytes() for path in (project / "reports").rglob("*") if path.is_file()}
    params.write_text(before.replace("  beta: null ", "  betta: 0.5 "))
    said = run(project, "dvc", "repro", expect=255)
    assert "did you mean 'beta'" in said and "Traceback" not in said
    now = {path: path.read_bytes() for path in (project / "reports").rglob("*") if path.is_file()}
    assert now == state
    assert (project / "configs/report.json").exists()
    params.write_text(before)
    assert "Running stage" not in run(project, "dvc", "repro")


def test_ctrl_c_leaves_the_cache_sane(project: Path) -> None:
    """Interrupted in training; the next run trains anew and ends where it would have."""
    presets = project / "presets/presets.yaml"
    before = presets.read_text()
    presets.write_text(before.replace("updates: 26, ", "updates: 39, "))
    process = subprocess.Popen(
        interruptible("dvc", "repro"), cwd=project, env=environment(), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "training original" in line:
            break
    os.killpg(process.pid, signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    assert of("original", 0) | of("improved", 0) | {"report"} == ran(run(project, "dvc", "repro"))
    epochs = json.loads((project / "models/original/0/summary.json").read_text())["epochs"]
    assert epochs == 3
    presets.write_text(before)
    assert "Running stage 'train" not in run(project, "dvc", "repro")
