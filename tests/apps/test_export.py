"""`sharpvae export`, as a user calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.export import FORMS, main
from sharpvae.trained import export
from tests.trained.toys import make, tell


@pytest.fixture
def place(tmp_path: Path, model_config, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a toy VAE of seed 5."""
    make(tmp_path, model_config())
    tell(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_forms_are_those_of_the_library() -> None:
    assert tuple(export.FORMS) == FORMS


def test_every_form_has_a_place_of_its_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in FORMS:
        assert main(["toy", "--to", form, "--seed", "5"]) == 0
        said = capsys.readouterr().out
        assert f"toy, seed 5: exports/toy/5/{form}\n" in said
        assert ("hf upload <owner>/<name> exports/toy/5/hub" in said) == (form == "hub")
        assert ("ONNX Runtime computes" in said) == (form == "onnx")
    assert (place / "exports/toy/5/onnx/decoder.onnx").is_file()
    assert main(["toy", "--to", "safetensors", "--seed", "5", "--out", "mine"]) == 0
    assert (place / "mine/weights.safetensors").is_file()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["toi", "--to", "onnx"], "did you mean 'toy'"),
        (["toy", "--to", "onnx"], "trained with: 5"),
        (["toy", "--to", "onnx", "--seed", "5", "--out", "models"], "files of others"),
    ],
)
def test_a_mistake_is_one_message_and_leaves_nothing(
    place: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(place.rglob("*"))
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error
    assert sorted(place.rglob("*")) == before


def test_another_form_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["toy", "--to", "tflite"])
    assert caught.value.code == 2
    assert "safetensors" in capsys.readouterr().err
