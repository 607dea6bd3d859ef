"""`sharpvae score`: files in, three files and a table out; a mistake leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from apps.score import main, named
from sharpvae.core.errors import UserError
from sharpvae.given.score import set_name
from sharpvae.scoring.measures import blurred
from tests.scoring.pictures import discs


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is no repository, with real images and two sets of samples."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    samples = discs(60, 2)
    np.save("real.npy", discs(150, 1))
    np.save("sharp.npy", samples)
    np.savez("soft.npz", (blurred(samples, 1.0) / 255).astype(np.float32))
    return tmp_path


def test_from_files_to_a_page(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sharp.npy", "mine=soft.npz", "--real", "real.npy", "--out", "made/here"]) == 0
    written = json.loads((files / "made/here/score.json").read_text())
    assert list(written) == ["sharp", "mine", "floors"]
    assert written["mine"]["blur_px"] > 0.7
    assert (files / "made/here/score.html").stat().st_size > 10_000
    said = capsys.readouterr().out
    assert "Blur, px" in said and "page: made/here/score.html" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sharp.npy", "--real", "none"], "no such file"),
        (["none.npy", "--real", "real.npy"], "no such file"),
        (["sharp.npy", "sharp.npy", "--real", "real.npy"], "a name for each set"),
        (["floors=sharp.npy", "--real", "real.npy"], "the name of the floors"),
        (["sharp.npy", "--real", "real.npy", "--reconstructions", "none"], "neither"),
    ],
)
def test_a_mistake_leaves_nothing_behind(
    files: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(files.iterdir())
    assert main([*arguments, "--out", "made"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and said in error
    assert sorted(files.iterdir()) == before


def test_names_of_sets(tmp_path: Path) -> None:
    assert named(["a/x.npy", "b/y.zip"], set_name) == {"x": "a/x.npy", "y": "b/y.zip"}
    assert named(["a/x.npy", "b/x.npy"], set_name) == {"a/x": "a/x.npy", "b/x": "b/x.npy"}
    assert named(["one=a/x.npy", "two=a/x.npy"], set_name) == {"one": "a/x.npy", "two": "a/x.npy"}
    (tmp_path / "beta0.5").mkdir()
    assert list(named([f"{tmp_path}/beta0.5/"], set_name)) == ["beta0.5"]
    odd = tmp_path / "k=1.npy"
    odd.touch()
    assert named([str(odd)], set_name) == {"k=1": str(odd)}
    with pytest.raises(UserError, match="twice that name"):
        named(["a/x.npy", "a/x.npy"], set_name)
