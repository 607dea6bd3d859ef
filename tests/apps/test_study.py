"""The studies as the app shows them, and the command it gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from apps import study as app
from sharpvae.config.names import Studies
from tests.datasets.samples import REPOSITORY

NAMES = list(Studies(REPOSITORY / "studies"))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the studies and params.yaml alone."""
    shutil.copytree(REPOSITORY / "studies", tmp_path / "studies")
    shutil.copytree(REPOSITORY / "presets", tmp_path / "presets")
    shutil.copy(REPOSITORY / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_study_is_listed_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1 : 1 + len(NAMES)]] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_one_with_its_settings_and_what_it_claims(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["show", name]) == 0
    text = " ".join(capsys.readouterr().out.split())
    study = yaml.safe_load(Path(f"studies/{name}.yaml").read_text())
    for part in (study["title"], *study["claims"], "loss.beta"):
        assert part in text


def test_the_command_adds_the_study_to_params(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """DVC itself applies what stands behind -S."""
    hydra = pytest.importorskip("dvc.utils.hydra", reason="DVC is not installed")
    from sharpvae.config.resolve import resolve_file

    assert app.main(["show", "s001-fixed"]) == 0
    override = capsys.readouterr().out.split("-S '")[1].split("'")[0]
    hydra.apply_overrides(place / "params.yaml", [override])
    variants = resolve_file(place / "params.yaml").experiment.variants
    assert list(variants) == ["original", "improved", "sharp", "s001-fixed"]
    assert variants["s001-fixed"].loss.beta == 0.001


def test_a_wrong_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["show", "s001-fixd"]) == 1
    assert "did you mean 's001-fixed'" in capsys.readouterr().err
