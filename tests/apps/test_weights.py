"""`sharpvae weights`, as a user calls it, with stand-ins for the files over loopback."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps import weights as app
from sharpvae.datasets import download
from sharpvae.perception.pretrained import PRETRAINED, cache
from tests.datasets.samples import Server
from tests.processes import printed

CONTENT = bytes(range(256)) * 4000
FILE = f"tiny-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().serving() as made:
        yield made


@pytest.fixture(autouse=True)
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    """Weights called `tiny`, published at /public; an empty cache; no mirror of the machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delenv("SHARPVAE_MIRROR", raising=False)
    monkeypatch.setattr(download, "BACK_OFF", (0.01, 0.01))
    entry = dataclasses.replace(
        PRETRAINED["vgg16"], name="tiny", file=FILE, base=f"{server.base}/public"
    )
    monkeypatch.setitem(PRETRAINED, "tiny", entry)
    monkeypatch.setitem(app.USES, "tiny", "a test")


def test_the_list_as_a_user_sees_it(tmp_path: Path) -> None:
    said = printed(tmp_path, "weights")
    for entry in PRETRAINED.values():
        if entry.name != "tiny":
            assert entry.name in said and entry.address in said
    assert str(cache()) in said
    assert list(tmp_path.iterdir()) == []  # looking makes nothing


def test_every_file_says_what_it_is_for() -> None:
    assert app.USES.keys() == PRETRAINED.keys()


def test_a_download_ends_where_the_stages_look(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers[f"/public/{FILE}"] = CONTENT
    assert app.main(["tiny"]) == 0
    path = cache() / FILE
    assert path.read_bytes() == CONTENT
    assert f"verified: {path}" in capsys.readouterr().out
    assert [kept.name for kept in cache().iterdir()] == [FILE]
    asked = len(server.asked)
    assert app.main(["tiny"]) == 0
    assert len(server.asked) == asked  # what is there is not asked for again
    app.list_all()
    line = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("tiny"))
    assert "yes" in line


@pytest.mark.parametrize("below", ["", "weights"])
@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_mirror_folder_comes_first(
    tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch, below: str, how: str
) -> None:
    mirror = tmp_path / "mirror"
    (mirror / below).mkdir(parents=True)
    (mirror / below / FILE).write_bytes(CONTENT)
    arguments = ["tiny"]
    if how == "option":
        arguments += ["--mirror", str(mirror)]
    else:
        monkeypatch.setenv("SHARPVAE_MIRROR", str(mirror))
    assert app.main(arguments) == 0
    assert (cache() / FILE).read_bytes() == CONTENT
    assert server.asked == []


def test_a_mirror_address_and_a_folder_of_ones_own(server: Server, tmp_path: Path) -> None:
    server.answers[f"/mirror/weights/{FILE}"] = CONTENT
    assert app.main(["tiny", "--mirror", f"{server.base}/mirror/", "--into", "mine"]) == 0
    assert (tmp_path / "mine" / FILE).read_bytes() == CONTENT
    assert not cache().exists()
    assert server.asked == [f"/mirror/weights/{FILE}"]


def test_a_mirror_is_filled_from_the_cache(server: Server, tmp_path: Path) -> None:
    cache().mkdir(parents=True)
    (cache() / FILE).write_bytes(CONTENT)
    assert app.main(["tiny", "--into", str(tmp_path / "srv" / "weights")]) == 0
    assert (tmp_path / "srv" / "weights" / FILE).read_bytes() == CONTENT
    assert server.asked == []


def test_wrong_contents_are_never_kept(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers[f"/public/{FILE}"] = CONTENT[:-1] + b"x"
    cache().mkdir(parents=True)
    (cache() / FILE).write_bytes(b"left by something that was cut off")
    assert app.main(["tiny"]) == 1
    text = capsys.readouterr().err
    assert "wrong contents" in text and f"{server.base}/public" in text
    assert "--mirror" in text and "data.name" not in text and "data.path" not in text
    server.answers[f"/public/{FILE}"] = CONTENT
    assert app.main(["tiny"]) == 0
    assert (cache() / FILE).read_bytes() == CONTENT, "a damaged copy is replaced"


def test_nowhere_to_be_had_says_where_to_put_it(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    assert app.main(["tiny"]) == 1
    text = capsys.readouterr().err
    assert f"{server.base}/public/{FILE}" in text
    assert str(cache() / FILE) in text
    assert "SHARPVAE_MIRROR" in text


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["vgg"], "did you mean 'vgg1"), (["tiny", "--mirror", "/no/such"], "existing folder")],
)
def test_mistakes(arguments: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert app.main(arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert word in error
