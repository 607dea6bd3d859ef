from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import unicodedata
import zipfile
from pathlib import Path

import pytest

from sharpvae.core.errors import UserError
from sharpvae.datasets import files as image_files
from sharpvae.datasets.decode import UnusableImageError
from sharpvae.datasets.files import clean, layout, open_files
from tests.datasets.samples import REPOSITORY, colourful, encoded, fill


def zipped(folder: Path, target: Path) -> Path:
    """A zip of everything below the parent of `folder`, entries for folders included."""
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder.parent))
    return target


@pytest.fixture(params=["folder", "zip"])
def opened(request: pytest.FixtureRequest, tmp_path: Path):
    """A function that opens a folder as it is, or zipped."""
    made = []

    def open_(folder: Path):
        path = folder if request.param == "folder" else zipped(folder, tmp_path / "made.zip")
        made.append(open_files(path))
        return made[-1], path

    yield open_
    for files in made:
        files.close()


def test_folders_name_classes(tmp_path: Path, opened) -> None:
    top = tmp_path / "pets"
    fill(top / "dog", 2)
    fill(top / "cat", 1, start=5)
    files, path = opened(top)
    found = layout(files, path)
    assert found.files == ["cat/005.png", "dog/000.png", "dog/001.png"]
    assert found.class_names == ["cat", "dog"]
    assert files.read(found.prefix + "dog/001.png") == encoded(colourful(1))


def test_a_flat_folder_has_no_classes(tmp_path: Path, opened) -> None:
    fill(tmp_path / "flat", 3)
    files, path = opened(tmp_path / "flat")
    found = layout(files, path)
    assert found.files == ["000.png", "001.png", "002.png"]
    assert found.class_names is None


def test_what_systems_leave_behind_is_ignored(tmp_path: Path, opened) -> None:
    top = tmp_path / "pets"
    fill(top / "dog", 1)
    fill(top / "cat", 1)
    for name in (".DS_Store", "dog/._000.png", ".git/config", "Thumbs.db", "__MACOSX/dog/x.png"):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(b"x")
    files, path = opened(top)
    found = layout(files, path)
    assert found.files == ["cat/000.png", "dog/000.png"]
    assert found.stray == []


def test_wrapping_folders_are_passed_through_and_stray_files_told(tmp_path: Path, opened) -> None:
    top = tmp_path / "download"
    fill(top / "photos" / "a", 1)
    fill(top / "photos" / "b", 1)
    (top / "LICENCE.txt").write_text("free")
    (top / "photos" / "labels.csv").write_text("a,b")
    files, path = opened(top)
    found = layout(files, path)
    assert found.files == ["a/000.png", "b/000.png"]
    assert found.class_names == ["a", "b"]
    assert [name.split("/")[-1] for name in found.stray] == ["LICENCE.txt", "labels.csv"]


def test_images_deeper_in_a_class_belong_to_it(tmp_path: Path, opened) -> None:
    fill(tmp_path / "top" / "a" / "2020" / "May", 1)
    fill(tmp_path / "top" / "b", 1)
    files, path = opened(tmp_path / "top")
    assert layout(files, path).files == ["a/2020/May/000.png", "b/000.png"]


def test_unicode_and_spaces_in_names(tmp_path: Path, opened) -> None:
    decomposed = unicodedata.normalize("NFD", "Äpfel rot")
    fill(tmp_path / "Früchte" / decomposed, 1)
    fill(tmp_path / "Früchte" / "梨", 1)
    files, path = opened(tmp_path / "Früchte")
    found = layout(files, path)
    assert found.class_names == ["Äpfel rot", "梨"]
    assert files.read(found.prefix + found.files[0]) == encoded(colourful(0))


def test_a_name_that_is_no_unicode_can_be_printed(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(encoded(colourful(0)))
    files = open_files(tmp_path)
    assert files.files == ["caf\\udce9.png"]
    files.files[0].encode("utf-8")
    assert files.read(files.files[0])
    assert clean(files.files[0]) == files.files[0]


def test_an_empty_class_folder_is_named(tmp_path: Path, opened) -> None:
    fill(tmp_path / "pets" / "dog", 1)
    (tmp_path / "pets" / "cat").mkdir()
    files, path = opened(tmp_path / "pets")
    with pytest.raises(UserError) as caught:
        layout(files, path)
    assert caught.value.where.endswith("/cat")
    assert "an empty folder" in str(caught.value)


def test_an_empty_folder_is_named(tmp_path: Path, opened) -> None:
    (tmp_path / "nothing").mkdir()
    files, path = opened(tmp_path / "nothing")
    with pytest.raises(UserError) as caught:
        layout(files, path)
    assert caught.value.where == str(path)
    assert "no file in it" in str(caught.value)


def test_images_beside_class_folders_are_refused(tmp_path: Path, opened) -> None:
    fill(tmp_path / "pets" / "dog", 1)
    fill(tmp_path / "pets" / "cat", 1)
    (tmp_path / "pets" / "cover.JPG").write_bytes(b"")
    files, path = opened(tmp_path / "pets")
    with pytest.raises(UserError, match=r"images beside them \(cover.JPG\)"):
        layout(files, path)


@pytest.mark.parametrize(
    ("content", "found"), [(None, "no such file or folder"), (b"GIF89a", "not a zip file")]
)
def test_neither_folder_nor_zip(tmp_path: Path, content: bytes | None, found: str) -> None:
    path = tmp_path / "images.zip"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_files(path)
    assert found in caught.value.found
    assert str(path) in str(caught.value)


def test_a_truncated_archive_is_named(tmp_path: Path) -> None:
    fill(tmp_path / "flat", 3)
    path = zipped(tmp_path / "flat", tmp_path / "cut.zip")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError) as caught:
        open_files(path)
    assert caught.value.where == str(path)
    assert "download it again" in caught.value.fix


def test_hostile_members_are_neither_followed_nor_extracted(tmp_path: Path) -> None:
    path = tmp_path / "hostile.zip"
    link = zipfile.ZipInfo("link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../escaped.png", b"x")
        archive.writestr("good.png", encoded(colourful(0)))
        archive.writestr(link, "/etc/passwd")
    before = set(tmp_path.rglob("*"))
    files = open_files(path)
    assert files.files == ["good.png", "link.png"]
    with pytest.raises(UnusableImageError, match="symbolic link"):
        files.read("link.png")
    files.close()
    assert set(tmp_path.rglob("*")) == before


def test_a_damaged_member_is_told_from_the_archive(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    data = encoded(colourful(0))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", data)
    path.write_bytes(path.read_bytes().replace(data[60:80], bytes(20)))
    files = open_files(path)
    with pytest.raises(UnusableImageError, match="a damaged member"):
        files.read("a.png")
    files.close()


def test_a_zip_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_files, "FREE_SIZE", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1_000_000))
    with pytest.raises(UserError, match="a zip bomb") as caught:
        open_files(path)
    assert caught.value.where == str(path)


def test_a_file_larger_than_any_photograph_is_not_read(
    tmp_path: Path, opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_files, "MAX_FILE", 50)
    fill(tmp_path / "flat", 1)
    files, _ = opened(tmp_path / "flat")
    with pytest.raises(UnusableImageError, match="larger than"):
        files.read(files.files[0])


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", 2)
    top = tmp_path / "top"
    fill(top / "a", 1)
    (top / "b").symlink_to(tmp_path / "elsewhere")
    (top / "a" / "back").symlink_to(top)
    (top / "a" / "gone.png").symlink_to(tmp_path / "missing")
    files = open_files(top)
    assert files.files == ["a/000.png", "a/gone.png", "b/000.png", "b/001.png"]
    with pytest.raises(UnusableImageError, match="No such file"):
        files.read("a/gone.png")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(UnusableImageError, match="not a regular file"):
        open_files(tmp_path).read("pipe.png")


AS_NOBODY = """
import os, sys
from pathlib import Path
from sharpvae.datasets.decode import UnusableImageError
from sharpvae.datasets.files import open_files
from sharpvae.core.errors import UserError
top = Path(sys.argv[1])
(top / "secret.png").chmod(0)
files = open_files(top)
(top / "inside").chmod(0)
if os.geteuid() == 0:  # root may read everything
    os.seteuid(65534)
try:
    files.read("secret.png")
except UnusableImageError as error:
    print(error)
try:
    open_files(top)
except UserError as error:
    print(error.where, error.found, sep="|")
"""


def test_what_may_not_be_read_is_named() -> None:
    """A file is skipped with the reason; a folder that cannot be listed is an error."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own is closed to others than root
        top = Path(name)
        top.chmod(0o755)
        fill(top, 1)
        fill(top / "inside", 1)
        (top / "000.png").rename(top / "secret.png")
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, name],
            cwd=REPOSITORY, capture_output=True, text=True, check=True,
        )  # fmt: skip
        (top / "inside").chmod(0o755)
        file, folder = done.stdout.splitlines()
    assert file == "cannot be read: Permission denied"
    assert folder == f"{name}/inside|Permission denied"


@pytest.mark.parametrize("name", ["./a/0.png", "a/./0.png", "a//0.png"])
def test_needless_dots_and_slashes_in_a_zip_mean_nothing(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "dots.zip", "w") as archive:
        archive.writestr(name, b"1")
    files = open_files(tmp_path / "dots.zip")
    assert (files.files, files.folders) == (["a/0.png"], ["a"])
    files.close()


def test_two_spellings_of_one_name_are_refused(tmp_path: Path, opened) -> None:
    """é as one character and as two: on most systems two names, to the eye one."""
    for spelling in ("NFC", "NFD"):
        fill(tmp_path / "top" / unicodedata.normalize(spelling, "é"), 1)
    with pytest.raises(UserError, match="another") as caught:
        opened(tmp_path / "top")
    assert "rename one of the two" in caught.value.fix


def test_a_link_to_itself_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    with pytest.raises(UnusableImageError, match="cannot be read"):
        open_files(tmp_path).read("loop.png")


def test_members_that_point_out_of_the_archive_are_listed(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as archive:
        archive.writestr("../../outside.png", b"1")
        archive.writestr("inside.png", b"1")
    files = open_files(tmp_path / "slip.zip")
    assert (files.files, files.outside) == (["inside.png"], ["../../outside.png"])
    files.close()


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    for name in ("a\nb | c", "\x1b[31mred", "evil\u202egnp"):
        fill(tmp_path / name, 1)
    found = layout(open_files(tmp_path), tmp_path)
    assert found.class_names == [r"\x1b[31mred", r"a\nb | c", r"evil\u202egnp"]
    assert clean("a\x1b") == clean(clean("a\x1b")), "as a name in data.classes is compared"


def test_a_pipe_or_a_device_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(UserError, match="a pipe or a device"):
            open_files(path)


def test_links_that_fan_out_are_refused_at_once(tmp_path: Path) -> None:
    """Two links in each of 30 folders give 2^30 paths."""
    for level in range(30):
        (tmp_path / f"{level}").mkdir()
        for side in "ab":
            (tmp_path / f"{level}" / side).symlink_to(tmp_path / f"{level + 1}")
    fill(tmp_path / "30", 1)
    with pytest.raises(UserError, match="at most 64 links"):
        open_files(tmp_path / "0")


def test_folders_that_lie_too_deep_are_refused(tmp_path: Path) -> None:
    deep = tmp_path / "top"
    fill(deep.joinpath(*["d"] * image_files.DEEPEST), 1)
    with pytest.raises(UserError, match="at most 64 deep"):
        open_files(deep)
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("d/" * 30_000 + "a.png", b"")
    with pytest.raises(UserError, match="at most 64 deep"):
        open_files(archive)


def damaged(data: bytes, old: bytes, new: bytes, at: int) -> bytes:
    """`data` with the occurrence number `at` of `old` replaced."""
    start = -1
    for _ in range(at + 1):
        start = data.index(old, start + 1)
    return data[:start] + new + data[start + len(old) :]


@pytest.mark.parametrize("header", [0, 1], ids=["local", "central"])
def test_a_zip_with_a_name_that_is_no_unicode_is_damaged(tmp_path: Path, header: int) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("é.png", encoded(colourful(0)))
    path.write_bytes(damaged(path.read_bytes(), "é".encode(), b"\xff\xfe", header))
    with pytest.raises((UserError, UnusableImageError), match="codec can't decode"):
        open_files(path).read("é.png")


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        (6, 99, "zip file version 9.9"),
        (10, 98, "in a way that cannot be read"),
        (8, 1, "encrypted"),
    ],
)
def test_an_odd_member_is_told(tmp_path: Path, field: int, value: int, reason: str) -> None:
    """Version needed, method and flags, as the central directory has them."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("a.png", encoded(colourful(0)))
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\1\2") + field] = value
    path.write_bytes(data)
    with pytest.raises((UserError, UnusableImageError), match=reason):
        open_files(path).read("a.png")


def test_a_damaged_member_is_told_whatever_packed_it(tmp_path: Path) -> None:
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = tmp_path / f"{method}.zip"
        with zipfile.ZipFile(path, "w", method) as made:
            made.writestr("a.png", encoded(colourful(0)) * 9)
        data = bytearray(path.read_bytes())
        data[44:60] = bytes(16)
        path.write_bytes(data)
        with pytest.raises(UnusableImageError, match=r"a damaged member of the archive: ."):
            open_files(path).read("a.png")
