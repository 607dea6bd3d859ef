"""Datasets of image files, through `prepare`, from stand-ins of the published layout."""

from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from sharpvae.datasets import catalogue
from sharpvae.datasets.decode import decode
from sharpvae.images.packed import SPLITS, load_split
from tests.datasets.samples import Config, Server, colourful, encoded, packed, refusal
from tests.datasets.test_arrays import publish


def coloured(colour: tuple[int, int, int], index: int, size: tuple[int, int] = (100, 100)) -> bytes:
    """A PNG of one colour, whose blue tells the images apart."""
    return encoded(Image.new("RGB", size, (*colour[:2], index)))


def zipped(files: dict[str, bytes], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


FRUITS = {
    "Apple Golden 1": (200, 200, 0), "Apple Golden 2": (210, 200, 0),
    "Apple Golden 3": (220, 200, 0), "Apple Red Yellow 1": (200, 100, 0),
    "Apple Red Yellow 2": (210, 100, 0), "Apple Red 1": (200, 0, 0), "Apple Red 2": (210, 0, 0),
    "Apple Red 3": (220, 0, 0), "Banana": (250, 250, 0),
}  # fmt: skip


def fruits(top: str, spell=lambda name: name) -> dict[str, bytes]:
    counts = {"Training": 6, "Test": 2}
    return {
        f"{top}{part}/{spell(name)}/{index}_100.png": coloured(
            colour, 100 * (part == "Test") + index
        )
        for part, count in counts.items()
        for name, colour in FRUITS.items()
        for index in range(count)
    }


@pytest.mark.parametrize("form", ["folder", "zip", "data.path"])
def test_fruits(form: str, data_config: Config, tmp_path: Path) -> None:
    files = fruits("fruits-360_100x100/fruits-360/") | {"fruits-360_100x100/LICENSE": b"..."}
    files |= fruits("fruits-360_original-size/", lambda name: name.lower().replace(" ", "_"))
    folder = tmp_path / ("mine" if form == "data.path" else "raw/fruits360-apples")
    if form == "zip":
        zipped(files, folder / "fruits-360.zip")
    else:
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    path = str(folder) if form == "data.path" else None
    card, directory = packed(data_config(name="fruits360-apples", path=path), tmp_path)
    assert card.class_names == ["Golden", "Golden-Red", "Red"]
    assert card.counts == {"train": 36, "validation": 12, "test": 16}
    assert card.class_counts is not None and card.class_counts["test"] == [6, 4, 6]
    assert card.title == "Fruits-360, apples"
    groups = {(200, 0): "Red", (200, 100): "Golden-Red", (200, 200): "Golden"}
    for split in SPLITS:
        data = load_split(directory, split)
        for image, label in zip(data.images, data.labels, strict=True):
            red, green, _ = image[8, 8].tolist()
            assert groups[red // 100 * 100, green] == card.class_names[label]


@pytest.mark.parametrize("name", ["fruits360-apples", "wikiart-impressionism"])
def test_folders_sorted_by_hand(name: str, data_config: Config, tmp_path: Path) -> None:
    classes = catalogue.entry(name).class_names or ()
    for number, label in enumerate(classes):
        for index in range(8):
            path = tmp_path / "mine" / label / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encoded(colourful(100 * number + index)))
    card, _ = packed(data_config(name=name, path=str(tmp_path / "mine")), tmp_path)
    assert card.class_names == sorted(classes)
    assert card.name == name


@pytest.mark.parametrize("name", ["fruits360-apples", "wikiart-impressionism"])
def test_a_folder_of_something_else_is_refused(
    name: str, data_config: Config, tmp_path: Path
) -> None:
    for label in ("cats", "dogs"):
        (tmp_path / "mine" / label).mkdir(parents=True)
        (tmp_path / "mine" / label / "1.png").write_bytes(encoded(colourful(len(label))))
    error = refusal(data_config(name=name, path=str(tmp_path / "mine")), tmp_path)
    assert "cats, dogs" in error.found
    assert "Kaggle" in error.fix


@pytest.mark.parametrize("name", ["fruits360-apples", "wikiart-impressionism", "celeba"])
def test_what_must_be_fetched_by_hand_says_how(
    name: str, data_config: Config, tmp_path: Path
) -> None:
    error = refusal(data_config(name=name), tmp_path)
    assert catalogue.entry(name).by_hand in error.fix
    assert str(tmp_path / "raw" / name) in error.fix


def test_an_archive_that_a_mirror_serves(
    server: Server, data_config: Config, tmp_path: Path
) -> None:
    archive = zipped(fruits(""), tmp_path / "made.zip")
    server.answers["/fruits360-apples/fruits-360.zip"] = archive.read_bytes()
    card, _ = packed(data_config(name="fruits360-apples", mirror=server.base), tmp_path)
    assert sum(card.counts.values()) == 64


def wikiart(top: str) -> dict[str, bytes]:
    genres = {129: "abstract", 130: "cityscape", 131: "genre", 133: "landscape", 135: "portrait"}
    lines, files = ["file,artist,genre,style"], {}
    for code in genres:
        for index in range(8):
            name = f"Impressionism/claude-monet_été {code}-{index}.jpg"
            lines.append(f"{name},4,{code},152")
            files[top + name] = encoded(colourful(10 * code + index), "JPEG")
    lines.append("Impressionism/lost-in-the-accents.jpg,4,130,152")
    lines.append("Cubism/pablo-picasso_x.jpg,15,133,147")
    files[f"{top}Cubism/pablo-picasso_x.jpg"] = encoded(colourful(1), "JPEG")
    return files | {f"{top}wclasses.csv": "\n".join(lines).encode()}


@pytest.mark.parametrize("top", ["", "wikiart/"])
def test_wikiart(top: str, data_config: Config, tmp_path: Path) -> None:
    zipped(wikiart(top), tmp_path / "raw" / "wikiart-impressionism" / "wikiart.zip")
    card, _ = packed(data_config(name="wikiart-impressionism"), tmp_path)
    assert card.class_names == ["cityscape", "genre_painting", "landscape", "portrait"]
    assert card.class_counts is not None
    assert np.sum(list(card.class_counts.values()), axis=0).tolist() == [8, 8, 8, 8]
    assert [(item.file, item.reason) for item in card.skipped] == [
        ("Impressionism/lost-in-the-accents.jpg", "named in wclasses.csv, but not there")
    ]


def test_wikiart_with_another_table(data_config: Config, tmp_path: Path) -> None:
    files = wikiart("") | {"wclasses.csv": b"name,kind\nx,y\n"}
    zipped(files, tmp_path / "raw" / "wikiart-impressionism" / "wikiart.zip")
    error = refusal(data_config(name="wikiart-impressionism"), tmp_path)
    assert error.where.endswith("wclasses.csv")
    assert (error.expected, error.found) == ("the columns file and genre", "name, kind")


def test_wikiart_with_a_table_that_is_one_line(data_config: Config, tmp_path: Path) -> None:
    files = wikiart("") | {"wclasses.csv": b"file,genre\n" + b"x" * 200_000}
    zipped(files, tmp_path / "raw" / "wikiart-impressionism" / "wikiart.zip")
    error = refusal(data_config(name="wikiart-impressionism"), tmp_path)
    assert error.where.endswith("wclasses.csv") and "limit" in error.found


def test_celeba(
    server: Server, monkeypatch: pytest.MonkeyPatch, data_config: Config, tmp_path: Path
) -> None:
    """The middle 140x140 of 178x218: columns 19..158, rows 39..178."""
    images = {f"{i:06}.jpg": colourful(i, (178, 218)) for i in range(1, 31)}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, image in images.items():
            if name != "000030.jpg":
                archive.writestr(f"img_align_celeba/{name}", encoded(image, "JPEG", quality=95))
    values = {name: (1 if int(name[:6]) % 2 else -1, -1) for name in images}
    rows = [f"{name} {a:2d} {b:2d}" for name, (a, b) in values.items()]
    attributes = "\n".join([str(len(images)), "Smiling Young", *rows])
    partition = "\n".join(f"{name} {int(name[:6]) % 3}" for name in images)
    names = [file.name for file in catalogue.entry("celeba").files]
    contents = (buffer.getvalue(), attributes.encode(), partition.encode())
    publish("celeba", dict(zip(names, contents, strict=True)), server, monkeypatch)
    card, directory = packed(data_config(name="celeba", image_size=140), tmp_path)
    assert card.counts == {"train": 9, "validation": 10, "test": 10}
    assert (card.class_names, card.factor_names) == (None, ["Smiling", "Young"])
    assert [item.file for item in card.skipped] == ["000030.jpg"]
    known = {
        decode(encoded(image, "JPEG", quality=95))[39:179, 19:159].tobytes(): int(name[:6])
        for name, image in images.items()
    }
    for position, split in enumerate(SPLITS):
        data = load_split(directory, split)
        assert data.factors is not None
        for image, row in zip(data.images, data.factors, strict=True):
            number = known[image.tobytes()]
            assert number % 3 == position
            assert row.tolist() == [number % 2, 0]


def test_flowers102(
    server: Server, monkeypatch: pytest.MonkeyPatch, data_config: Config, tmp_path: Path
) -> None:
    from torchvision.datasets import Flowers102

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for i in range(1, 31):
            data = encoded(Image.new("RGB", (60, 50), (8 * i, 0, 99)), "JPEG")
            member = tarfile.TarInfo(f"jpg/image_{i:05}.jpg")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    labels, splits = io.BytesIO(), io.BytesIO()
    savemat(labels, {"labels": np.array([[1 + i % 3 for i in range(30)]])})
    parts = {"trnid": range(1, 11), "valid": range(11, 21), "tstid": range(21, 31)}
    savemat(splits, {name: np.array([list(part)]) for name, part in parts.items()})
    names = [file.name for file in catalogue.entry("flowers102").files]
    contents = (buffer.getvalue(), labels.getvalue(), splits.getvalue())
    publish("flowers102", dict(zip(names, contents, strict=True)), server, monkeypatch)
    monkeypatch.setattr(Flowers102, "classes", ["rose", "tulip", "daisy"])
    card, directory = packed(data_config(name="flowers102", fit="crop"), tmp_path)
    assert card.counts == {"train": 10, "validation": 10, "test": 10}
    assert card.class_names == ["rose", "tulip", "daisy"]
    for split, part in zip(SPLITS, parts.values(), strict=True):
        data = load_split(directory, split)
        numbers = [round(int(image[8, 8, 0]) / 8) for image in data.images]
        assert sorted(numbers) == list(part)
        assert data.labels is not None
        assert data.labels.tolist() == [(number - 1) % 3 for number in numbers]


def test_zip_is_for_zips(data_config: Config, tmp_path: Path) -> None:
    archive = zipped({f"{i}.png": encoded(colourful(i)) for i in range(9)}, tmp_path / "my.zip")
    card, _ = packed(data_config(name="zip", path=str(archive)), tmp_path)
    assert (card.name, card.title) == ("zip", "my")
    error = refusal(data_config(name="zip", path=str(tmp_path)), tmp_path, name="second")
    assert (error.where, error.fix) == ("data.path", "set data.name: folder")
    card, _ = packed(data_config(name="folder", path=str(archive)), tmp_path, name="third")
    assert card.counts == {"train": 5, "validation": 2, "test": 2}


def test_a_table_with_a_mark_and_a_cut_line(data_config: Config, tmp_path: Path) -> None:
    files = wikiart("")
    table = b"\xef\xbb\xbf" + files["wclasses.csv"] + b"\nImpressionism/cut"
    zipped(files | {"wclasses.csv": table}, tmp_path / "raw" / "wikiart-impressionism/wikiart.zip")
    card, _ = packed(data_config(name="wikiart-impressionism"), tmp_path)
    assert sum(card.counts.values()) == 32


def test_a_subset_too_small_for_the_own_test_split(data_config: Config, tmp_path: Path) -> None:
    """Training images never fill in for test images."""
    folder = tmp_path / "raw" / "fruits360-apples"
    for name, data in fruits("").items():
        if "Test" not in name or "Golden 1" in name:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    error = refusal(data_config(name="fruits360-apples", subset=4), tmp_path)
    assert error.where == "data.subset"
    assert "0 test" in error.found


def test_a_home_that_nobody_has(data_config: Config, tmp_path: Path) -> None:
    error = refusal(data_config(path="~nobody-of-that-name/images"), tmp_path)
    assert error.where == "data.path"
    assert "no such file or folder" in error.found
