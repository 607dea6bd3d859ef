"""Archives are unpacked whole or not at all, and never outside their folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sharpvae.core.errors import UserError
from sharpvae.datasets import archives
from sharpvae.datasets.archives import unpacked
from tests.datasets.samples import Record, small_disk
from tests.processes import running, told

FILES = {
    "images/a one.png": b"first" * 1000,
    "images/Größe 图.png": b"second" * 10,
    "empty": b"",
    "notes.txt": bytes(range(256)) * 3000,
}
KINDS = ("tar", "tar.gz")
Change = Callable[[tarfile.TarInfo], None]


def pack(folder: Path, kind: str, files: dict[str, bytes]) -> Path:
    path = folder / f"a.{kind}"
    with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o4777
            tar.addfile(info, io.BytesIO(data))
    return path


def odd_tar(folder: Path, change: Change) -> Path:
    """A good member, and then one that `change` made odd."""
    path = folder / "a.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        for odd in (False, True):
            info = tarfile.TarInfo("odd" if odd else "good")
            if odd:
                change(info)
            tar.addfile(info)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(archive: Path, folder: Path) -> UserError:
    """The error; and nothing is left of the attempt."""
    before = {path.name for path in folder.parent.iterdir()}
    with pytest.raises(UserError) as caught:
        unpacked(archive, folder, Record())
    assert caught.value.where == str(archive)
    assert caught.value.fix
    assert {path.name for path in folder.parent.iterdir()} == before
    assert not folder.exists()
    return caught.value


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_is_unpacked_once(tmp_path: Path, record: Record, kind: str) -> None:
    archive, folder = pack(tmp_path, kind, FILES), tmp_path / "new" / "out"
    assert unpacked(archive, folder, record) == folder
    assert contents(folder) == FILES
    assert (folder / "empty").stat().st_mode & 0o7000 == 0
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    title, done, total = record.steps[-1]
    assert title == f"unpacking a.{kind}" and 0 < done <= total and record.units == {"bytes"}
    archive.unlink()
    assert unpacked(archive, folder, record) == folder


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    unpacked(pack(tmp_path, "tar", FILES), tmp_path / "out", Record())
    assert contents(tmp_path / "out") == FILES


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("../evil", "outside of the folder"),
        ("images/../../evil", "outside of the folder"),
        ("images\\..\\..\\evil", "outside of the folder"),
        ("{absolute}/evil", "at an absolute path"),
        ("C:\\evil", "at an absolute path"),
        ("x" * 300, "of a name that cannot be had"),
        ("good/below", "below a file instead of a folder"),
        ("good", "in it twice"),
    ],
)
def test_a_member_in_the_wrong_place_is_refused(
    tmp_path: Path, kind: str, name: str, why: str
) -> None:
    name = name.replace("{absolute}", str(tmp_path / "elsewhere"))
    twice = name == "good"
    archive = pack(tmp_path, kind, {"good": b"1", ("gooe" if twice else name): b"2"})
    if twice:
        repack_twice(archive, kind)
    error = refused(archive, tmp_path / "out")
    assert why in error.found and repr(name) in error.found
    assert not list(tmp_path.rglob("evil"))


def repack_twice(archive: Path, kind: str) -> None:
    with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w") as tar:
        for _ in range(2):
            tar.addfile(tarfile.TarInfo("good"))


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a device or a pipe"),
        (tarfile.BLKTYPE, "a device or a pipe"),
        (tarfile.FIFOTYPE, "a device or a pipe"),
    ],
)
def test_links_devices_and_pipes_are_refused(tmp_path: Path, kind: bytes, why: str) -> None:
    def change(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "good"

    error = refused(odd_tar(tmp_path, change), tmp_path / "out")
    assert error.found == f"'odd', which is {why}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_refused(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind, FILES)
    data = archive.read_bytes().rstrip(b"\0") if kind == "tar" else archive.read_bytes()
    for length in (len(data), 4 * 512, 700, 512, 100, 10, 3, 0):
        if length == len(data) and kind != "tar":
            length -= 1
        archive.write_bytes(data[:length])
        assert "a whole .tar or .tar.gz" in refused(archive, tmp_path / "out").expected


def test_a_tar_cut_between_two_members_is_refused(tmp_path: Path) -> None:
    archive = pack(tmp_path, "tar", {"a": b"1", "b": b"2"})
    archive.write_bytes(archive.read_bytes()[:1024])
    assert "ends before its end mark" in refused(archive, tmp_path / "out").found


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_archive_is_refused(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind, FILES)
    data = bytearray(archive.read_bytes())
    # A plain tar file vouches for its headers alone.
    place = data.index(b"notes.txt") + 100 if kind == "tar" else len(data) // 2
    data[place : place + 40] = b"?" * 40
    archive.write_bytes(data)
    refused(archive, tmp_path / "out")


@pytest.mark.parametrize("data", [b"<!DOCTYPE html>", b"\x1f\x8b not gzip", b"PK\x03\x04 a zip"])
def test_what_is_no_archive_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar.gz").write_bytes(data * 100)
    refused(tmp_path / "a.tar.gz", tmp_path / "out")


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_of_nothing_is_refused(tmp_path: Path, kind: str) -> None:
    assert refused(pack(tmp_path, kind, {}), tmp_path / "out").found == "none"


def test_there_is_no_archive(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No such file"):
        unpacked(tmp_path / "a.tar", tmp_path / "out", Record())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["tar.gz", "many headers"])
def test_a_bomb_is_refused(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "SLACK", 1 << 20)
    if kind == "many headers":
        bomb = tarfile.TarInfo("bomb")
        bomb.pax_headers = {"comment": "0" * 9_000_000}
        with tarfile.open(tmp_path / "a.tar.gz", "w:gz", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(bomb)
        archive = tmp_path / "a.tar.gz"
    else:
        archive = pack(tmp_path, kind, {"bomb": bytes(9_000_000)})
    error = refused(archive, tmp_path / "out")
    assert error.expected.startswith("at most") and "fill the disk" in error.found


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_keeps_nothing(tmp_path: Path, kind: str) -> None:
    archive = pack(tmp_path, kind, FILES)
    with small_disk(tmp_path / "disk", "400k") as disk:
        with pytest.raises(UserError, match=r"the disk is full: 409\.6 kB free") as caught:
            unpacked(archive, disk / "out", Record())
        assert list(disk.iterdir()) == []
    assert caught.value.where == str(tmp_path / "disk" / "out")
    assert f"room for what a.{kind} holds" in caught.value.expected


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_leaves_nothing(tmp_path: Path, kind: str) -> None:
    class Interrupting(Record):
        def step(self, *_: object, **__: object) -> None:
            raise KeyboardInterrupt

    archive = pack(tmp_path, kind, FILES)
    with pytest.raises(KeyboardInterrupt):
        unpacked(archive, tmp_path / "out", Interrupting())
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


UNPACK = """
import sys
from pathlib import Path
from sharpvae.datasets.archives import unpacked
class Told:
    def step(self, *_, **__):
        print("step")
        sys.stdin.readline()
    def note(self, text):
        print("note", text)
unpacked(Path(sys.argv[1]), Path(sys.argv[2]), Told())
print("done")
"""


def test_of_two_processes_one_unpacks_and_a_killed_one_leaves_nothing(tmp_path: Path) -> None:
    archive, folder = pack(tmp_path, "tar.gz", FILES), tmp_path / "raw" / "out"
    with running(UNPACK, archive, folder) as killed:
        assert told(killed) == "step"
    assert len(list(folder.parent.iterdir())) == 1
    with running(UNPACK, archive, folder) as first:
        assert told(first) == "step"
        with running(UNPACK, archive, folder) as second:
            assert told(second) == f"note {folder}: another process is at it"
            assert first.stdin is not None
            first.stdin.close()
            assert told(second) == "done"
    assert contents(folder) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
