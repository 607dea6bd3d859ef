"""Damaged zip and tar archives: images, files that are skipped and told, or one clear error."""

from __future__ import annotations

import io
import random
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path

import pytest

from sharpvae.core.console import Progress
from sharpvae.datasets.archives import unpacked
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.config import DataConfig
from sharpvae.datasets.decode import UnusableImageError
from sharpvae.datasets.files import open_files
from sharpvae.datasets.given import read_images
from sharpvae.datasets.readers import folder_pool
from tests.hostile.campaign import attack, hostile
from tests.hostile.mutate import mutants
from tests.hostile.test_images import saved

WORDS = (0, 1, 2, 0x7FFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 98, 8, 0x800, 0xA000_0000)
# Where fields stand behind the signature, and how wide they are.
_ZIP = {
    b"PK\1\2": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 4), (24, 4), (28, 2),
                (30, 2), (32, 2), (34, 2), (36, 2), (38, 4), (42, 4)],
    b"PK\3\4": [(4, 2), (6, 2), (8, 2), (10, 4), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)],
    b"PK\5\6": [(4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)],
}  # fmt: skip
_TAR = [(0, 100), (100, 8), (108, 8), (116, 8), (124, 12), (136, 12), (156, 1), (157, 100),
        (257, 6), (265, 32), (329, 8), (345, 155)]  # fmt: skip
_TAR_VALUES = (
    b"", b"7" * 12, b"\x80" + b"\xff" * 11, b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\1", b"../x",
    b"/etc/x", b"a/" * 40, b"L", b"K", b"x", b"g", b"5", b"2", b"S", b"-1", b" 12 ", b"\xc3\xb6",
    b"a\0b",
)  # fmt: skip


def ZIP_FIELDS(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:  # noqa: N802
    """Another value in a header of a zip, or in its central directory."""
    signature = draw.choice(list(_ZIP))
    found = [at for at in range(len(data) - 4) if data.startswith(signature, at)]
    if not found:
        return data
    offset, size = draw.choice(_ZIP[signature])
    place = draw.choice(found) + offset
    value = draw.choice(WORDS) % 256**size
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


def resealed(draw: random.Random, data: bytes, damage: Callable[[bytes], bytes]) -> bytes:
    """One member of a zip is damaged, and packed again so that its checksum fits."""
    with suppress(Exception), zipfile.ZipFile(io.BytesIO(data)) as old:
        members = {info: old.read(info) for info in old.infolist()}
        chosen = draw.choice(list(members))
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as new:
            for info, content in members.items():
                new.writestr(info, damage(content) if info is chosen else content)
        return buffer.getvalue()
    return data


def member(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """An image in a zip is damaged, and the archive is whole."""
    return resealed(draw, data, lambda own: next(mutants([own or b"x"], 1)))


def tar_fields(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another value in a header of a tar, whose checksum fits."""
    starts = [at for at in range(0, len(data) - 511, 512) if data[at + 257 : at + 262] == b"ustar"]
    if not starts:
        return data
    start, (offset, size) = draw.choice(starts), draw.choice(_TAR)
    block = bytearray(data[start : start + 512])
    block[offset : offset + size] = draw.choice(_TAR_VALUES)[:size].ljust(size, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return data[:start] + bytes(block) + data[start + 512 :]


def repeated(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One block many times over, such as a header that announces another."""
    start = 512 * draw.randrange(max(1, len(data) // 512))
    return data[:start] + data[start : start + 1024] * 60 + data[start:]


def zipped(method: int, *names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.mkdir("images")
        for number, name in enumerate(names):
            archive.writestr(name, saved(("PNG", "JPEG", "GIF")[number % 3]))
    return buffer.getvalue()


def taped(form: int, mode: str = "w") -> bytes:
    buffer, repeats = io.BytesIO(), 3 if form == tarfile.USTAR_FORMAT else 30
    with tarfile.open(fileobj=buffer, mode=mode, format=form) as archive:  # type: ignore[call-overload]
        for name in ("images", f"images/{'long' * repeats}", "ö.png", "images/2.png"):
            member = tarfile.TarInfo(name)
            member.type = tarfile.DIRTYPE if name == "images" else tarfile.REGTYPE
            content = b"" if name == "images" else saved("PNG")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


FLAT = ("images/a.png", "images/b.jpg", "images/ö.gif", "images/d.png")
CLASSES = ("train/cat/1.png", "train/dog/1.jpg", "test/cat/2.gif", "test/dog/__MACOSX/x.png")
ZIPS = [
    zipped(zipfile.ZIP_STORED, *FLAT), zipped(zipfile.ZIP_DEFLATED, *CLASSES),
    zipped(zipfile.ZIP_BZIP2, *FLAT[:2]), zipped(zipfile.ZIP_LZMA, *CLASSES[:2]),
]  # fmt: skip
TARS = [
    taped(tarfile.USTAR_FORMAT), taped(tarfile.GNU_FORMAT), taped(tarfile.PAX_FORMAT),
    taped(tarfile.GNU_FORMAT, "w:gz"),
]  # fmt: skip
CONFIG = DataConfig(
    name="zip", path="x", mirror=None, image_size=16, fit="pad", subset=None, classes=None,
    binarize=None, validation_fraction=0.1, test_fraction=0.1, strict=False, seed=0,
)  # fmt: skip


def prepared(path: Path) -> None:
    """As `prepare` reads it: an image that is none is skipped and listed."""
    with closing(open_files(path)) as files:
        pool = folder_pool(files, path, CONFIG, entry("zip"))
        for index in range(len(pool.names)):
            with suppress(UnusableImageError):
                assert pool.image(index).ndim == 3


def scored(path: Path) -> None:
    assert read_images(path, "samples").images.ndim == 4


@pytest.mark.parametrize("read", [prepared, scored])
@hostile()
def test_a_damaged_zip_is_read_or_told(
    request: pytest.FixtureRequest, tmp_path: Path, read: Callable[[Path], None], count: int
) -> None:
    path = tmp_path / "images.zip"

    def written(data: bytes) -> None:
        path.write_bytes(data)
        read(path)

    inputs = mutants(ZIPS, count, [ZIP_FIELDS, ZIP_FIELDS, member])
    tally = attack(request, f"archives: zip, {read.__name__}", inputs, written)
    assert tally.right and tally.refused


@hostile()
def test_a_damaged_tar_is_unpacked_whole_or_not_at_all(
    request: pytest.FixtureRequest, tmp_path: Path, count: int
) -> None:
    path, folder = tmp_path / "images.tar", tmp_path / "place/unpacked"

    def written(data: bytes) -> None:
        path.write_bytes(data)
        try:
            unpacked(path, folder, Progress())
            assert any(folder.iterdir())
        finally:
            assert set(tmp_path.iterdir()) <= {path, folder.parent}
            if folder.parent.exists():
                assert set(folder.parent.iterdir()) <= {folder}
                shutil.rmtree(folder.parent)

    inputs = mutants(TARS, count, [tar_fields, tar_fields, repeated])
    tally = attack(request, "archives: tar", inputs, written)
    assert tally.right and tally.refused
