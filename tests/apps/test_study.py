"""The studies as the app shows them, and the command it gives."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from apps import study as app
from sharpvae.config.names import Studies
from sharpvae.core.config import flatten
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


def test_a_new_one_runs_at_once_as_the_improved_recipe(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line that it prints is applied as DVC does."""
    hydra = pytest.importorskip("dvc.utils.hydra", reason="DVC is not installed")
    from sharpvae.config.resolve import resolve_file

    assert app.main(["new", "my_0-1"]) == 0
    said = capsys.readouterr().out
    assert "studies/my_0-1.yaml" in said
    hydra.apply_overrides(place / "params.yaml", [said.split("-S '")[1].split("'")[0]])
    variants = resolve_file(place / "params.yaml").experiment.variants
    assert variants["my_0-1"] == variants["improved"]
    assert app.main([]) == 0
    assert "my_0-1: to be filled in" in capsys.readouterr().out


def test_a_new_one_leaves_out_no_setting_that_params_could_move(place: Path) -> None:
    assert app.main(["new", "mine"]) == 0
    studies = Studies(place / "studies")
    text = ("title", "about", "claims", "presets")
    new, old = (
        {key for key in flatten(studies[name]) if not key.startswith(text)}
        for name in ("mine", "s000-improved")
    )
    assert new == old
    assert all(isinstance(studies["mine"][key], kind) for key, kind in
               {"title": str, "about": str, "claims": list}.items())  # fmt: skip


@pytest.mark.parametrize("title", ["002: a 'VAE', \"$name\" # \\n", "Größe: 64 px", "- {a: b}"])
def test_any_line_is_a_title(title: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["new", "mine", "--title", title]) == 0
    assert Studies(Path("studies"))["mine"]["title"] == title
    assert app.main(["show", "mine"]) == 0
    assert title in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["../mine"], ["letters, digits", "'../mine'"]),
        (["a.b"], ["letters, digits"]),
        (["a b"], ["letters, digits"]),
        (["mine\n"], ["letters, digits"]),
        ([""], ["letters, digits"]),
        (["12"], ["no number", "12-study"]),
        (["1_000"], ["no number"]),
        (["nan"], ["no number"]),
        (["true"], ["no number"]),
        (["2024-01-31"], ["no number"]),
        (["improved"], ["a variant of params.yaml"]),
        (["s001-fixed"], ["studies/s001-fixed.yaml", "no such file yet", "another name"]),
        (["x" * 300], ["up to 100 letters"]),
        (["mine", "--title", "two\nlines"], ["--title", "one line"]),
        (["mine", "--title", " "], ["--title", "one line"]),
    ],
)
def test_what_a_new_one_may_not_be(
    place: Path, arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in (place / "studies").iterdir()}
    assert app.main(["new", *arguments]) == 1
    error = capsys.readouterr().err
    for word in words:
        assert word in error
    assert {path: path.read_bytes() for path in (place / "studies").iterdir()} == before
    assert not (place / "mine.yaml").exists()


def test_there_are_studies_only_at_the_top_of_the_repository(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "elsewhere").mkdir()
    monkeypatch.chdir(place / "elsewhere")
    for arguments in ([], ["show", "best"], ["new", "mine"]):
        assert app.main(arguments) == 1
        assert "top of the repository" in capsys.readouterr().err
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("kind", "check"), [("ablation", "ablation"), ("claim", "claims")], ids=["ablation", "claim"]
)
def test_a_new_question_is_valid_at_once(
    kind: str, check: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["new", "mine", "--kind", kind, "--title", "Is it so?"]) == 0
    assert f"sharpvae study {check} mine" in capsys.readouterr().out
    assert app.main([check, "mine", "--plan"]) == 0
    assert app.main(["new", "mine", "--kind", kind]) == 1
    assert "no such file yet" in capsys.readouterr().err
