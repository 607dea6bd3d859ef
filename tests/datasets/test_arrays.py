"""Datasets of arrays, through `prepare`, from stand-ins of the published form on loopback."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from sharpvae.core.errors import UserError
from sharpvae.datasets import catalogue
from sharpvae.datasets.catalogue import Entry, File
from sharpvae.images.packed import SPLITS, load_split
from tests.datasets.samples import Config, Server, packed, refusal

RNG = np.random.default_rng(0)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def publish(
    name: str, files: dict[str, bytes], server: Server, monkeypatch: pytest.MonkeyPatch
) -> Entry:
    """Let the catalogue's entry stand for these files, served on loopback."""
    entry = dataclasses.replace(
        catalogue.entry(name),
        files=tuple(File(file, f"md5:{md5(data)}", len(data)) for file, data in files.items()),
        addresses=(f"{server.base}/pub/",),
    )
    server.answers |= {f"/pub/{file}": data for file, data in files.items()}
    monkeypatch.setitem(catalogue.CATALOGUE, name, entry)
    return entry


def pickled(data: np.ndarray, labels: list[int]) -> bytes:
    return pickle.dumps({"data": data, "labels": labels, "batch_label": "x"}, protocol=2)


@pytest.fixture
def cifar(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[np.ndarray, list]]:
    """Five batches of 20 and a test batch of 20, in 10 classes."""
    from torchvision.datasets import CIFAR10

    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    arrays = {name: RNG.integers(0, 256, (20, 3072), dtype=np.uint8) for name in names}
    labels = [i % 10 for i in range(20)]
    members = {name: pickled(array, labels) for name, array in arrays.items()}
    classes = list(catalogue.entry("cifar10").class_names or ())
    members["batches.meta"] = pickle.dumps({"label_names": classes}, protocol=2)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    sums = {name: md5(data) for name, data in members.items()}
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name in names[:5]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", CIFAR10.meta | {"md5": sums["batches.meta"]})
    publish("cifar10", {"cifar-10-python.tar.gz": buffer.getvalue()}, server, monkeypatch)
    return {name: (array, labels) for name, array in arrays.items()}


def test_cifar10(cifar: dict, data_config: Config, tmp_path: Path) -> None:
    """Red, green and blue planes of 1024 bytes, rows first, as the publishers say."""
    config = data_config(name="cifar10", image_size=32)
    card, directory = packed(config, tmp_path)
    assert card.counts == {"train": 75, "validation": 25, "test": 20}
    assert card.class_names is not None and card.class_names[3] == "cat"
    test = load_split(directory, "test")
    array, labels = cifar["test_batch"]
    expected = {
        row.reshape(3, 32, 32).transpose(1, 2, 0).tobytes(): n
        for row, n in zip(array, labels, strict=True)
    }
    assert {
        image.tobytes(): n for image, n in zip(test.images, test.labels, strict=True)
    } == expected
    everything = {i.tobytes() for split in SPLITS for i in load_split(directory, split).images}
    assert len(everything) == 120


def test_cifar10_tampered_with_after_unpacking(
    cifar: dict, data_config: Config, tmp_path: Path
) -> None:
    """A pickle that is not the published one is never opened."""
    config = data_config(name="cifar10", image_size=32)
    packed(config, tmp_path)
    batches = tmp_path / "raw" / "cifar10" / "unpacked" / "cifar-10-batches-py"
    (batches / "data_batch_3").write_bytes(pickle.dumps(_Trap(str(tmp_path / "sprung"))))
    shutil.rmtree(tmp_path / "out")
    error = refusal(config, tmp_path)
    assert error.where == str(tmp_path / "raw" / "cifar10" / "unpacked")
    assert "remove" in error.fix
    assert not (tmp_path / "sprung").exists()


class _Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def test_svhn(
    server: Server, monkeypatch: pytest.MonkeyPatch, data_config: Config, tmp_path: Path
) -> None:
    """Images lie [32, 32, 3, N], and the digit 0 has the label 10."""
    from torchvision.datasets import SVHN

    arrays, files = {}, {}
    for split, count in (("train", 40), ("test", 20)):
        images = RNG.integers(0, 256, (32, 32, 3, count), dtype=np.uint8)
        labels = np.array([[1 + i % 10] for i in range(count)], dtype=np.uint8)
        buffer = io.BytesIO()
        savemat(buffer, {"X": images, "y": labels})
        files[f"{split}_32x32.mat"] = buffer.getvalue()
        arrays[split] = (images, labels)
    publish("svhn", files, server, monkeypatch)
    listed = {
        split: ["", f"{split}_32x32.mat", md5(files[f"{split}_32x32.mat"])] for split in arrays
    }
    monkeypatch.setattr(SVHN, "split_list", listed)
    card, directory = packed(data_config(name="svhn", image_size=32), tmp_path)
    assert card.counts == {"train": 30, "validation": 10, "test": 20}
    test = load_split(directory, "test")
    images, labels = arrays["test"]
    expected = {images[..., i].tobytes(): int(labels[i, 0]) % 10 for i in range(20)}
    found = {i.tobytes(): n for i, n in zip(test.images, test.labels, strict=True)}
    assert found == expected


@pytest.fixture
def sprites() -> dict[str, np.ndarray]:
    classes = np.array([[0, i % 3, i % 6, i % 40, i % 32, i // 3] for i in range(60)])
    return {
        "imgs": RNG.integers(0, 2, (60, 64, 64), dtype=np.uint8),
        "latents_classes": classes.astype(np.int64),
        "latents_values": classes.astype(np.float64),
    }


def archived(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def test_dsprites(
    sprites: dict, server: Server, monkeypatch: pytest.MonkeyPatch, data_config: Config,
    tmp_path: Path,
) -> None:  # fmt: skip
    entry = catalogue.entry("dsprites")
    publish("dsprites", {entry.files[0].name: archived(sprites)}, server, monkeypatch)
    card, directory = packed(data_config(name="dsprites", image_size=64), tmp_path)
    assert card.counts == {"train": 34, "validation": 11, "test": 15}
    assert card.channels == 1
    assert card.factor_names == ["color", "shape", "scale", "orientation", "x", "y"]
    row = {image.tobytes(): index for index, image in enumerate(sprites["imgs"] * np.uint8(255))}
    for split in SPLITS:
        data = load_split(directory, split)
        indices = [row.pop(image.tobytes()) for image in data.images]
        np.testing.assert_array_equal(data.factors, sprites["latents_classes"][indices])
        np.testing.assert_array_equal(data.labels, sprites["latents_classes"][indices, 1])
    assert row == {}
    # The second time nothing is downloaded, nor unpacked.
    asked = len(server.asked)
    shutil.rmtree(directory)
    packed(data_config(name="dsprites", image_size=64), tmp_path)
    assert len(server.asked) == asked
    bits = tmp_path / "raw/dsprites/images.bits.npy"
    bits.write_bytes(bits.read_bytes()[:-9])
    shutil.rmtree(directory)
    error = refusal(data_config(name="dsprites", image_size=64), tmp_path)
    assert error.where == str(bits) and "remove it" in error.fix


@pytest.mark.parametrize("wrong", ["imgs", "latents_classes"])
def test_dsprites_of_another_form(
    sprites: dict, wrong: str, server: Server, monkeypatch: pytest.MonkeyPatch,
    data_config: Config, tmp_path: Path,
) -> None:  # fmt: skip
    changed = sprites | {"imgs": sprites["imgs"][:, :32]} if wrong == "imgs" else dict(sprites)
    if wrong != "imgs":
        del changed[wrong]
    entry = catalogue.entry("dsprites")
    publish("dsprites", {entry.files[0].name: archived(changed)}, server, monkeypatch)
    error = refusal(data_config(name="dsprites", image_size=64), tmp_path)
    assert error.where.endswith(".npz")
    assert wrong in error.found
    assert [path.name for path in (tmp_path / "raw" / "dsprites").iterdir()] == [
        entry.files[0].name
    ]


def test_an_npz_that_is_none(
    server: Server, monkeypatch: pytest.MonkeyPatch, data_config: Config, tmp_path: Path
) -> None:
    entry = catalogue.entry("dsprites")
    publish("dsprites", {entry.files[0].name: b"PK\x03\x04 and no more"}, server, monkeypatch)
    with pytest.raises(UserError) as caught:
        packed(data_config(name="dsprites", image_size=64), tmp_path)
    assert caught.value.where.endswith(".npz")
