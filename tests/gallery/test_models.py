"""Which VAEs the gallery finds, and what it says where something is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.gallery.models import entries, opened, scores
from sharpvae.trained.export import export
from sharpvae.trained.model import load
from tests.gallery.conftest import Laid
from tests.trained.toys import tell


@pytest.fixture
def root(laid: Laid, tmp_path: Path) -> Path:
    return laid(tmp_path / "work")


def test_trained_exported_and_named_ones_and_other_epochs(root: Path, tmp_path: Path) -> None:
    folder = root / "models/toy/5"
    shutil.copy(folder / "weights.safetensors", folder / "best.safetensors")
    export(root, "toy", 5, "hub", root / "exports/toy/5/hub")
    elsewhere = tmp_path / "given"
    shutil.copytree(folder, elsewhere)
    (root / "models/half/0").mkdir(parents=True)
    (root / "models/half/0/network.json").write_text("{}")
    found = entries(root, [elsewhere])
    assert list(found) == ["toy/5", "exports/toy/5/hub", str(elsewhere), "toy/5, best epoch"]
    assert [one.run for one in found.values()] == [("toy", "5"), None, None, None]
    for one in found.values():
        assert opened(one).vae.latent_dim == 4


def test_one_that_is_in_training_comes_last(root: Path) -> None:
    folder = root / ".checkpoints/0a1b"
    folder.mkdir(parents=True)
    write_json(folder / "training.json", {"variant": "toy", "seed": 6})
    for update in (7, 70):
        (folder / f"{update:012d}-ab.pt").touch()
    *_, (name, last) = entries(root).items()
    assert (name, last.path.name, last.run) == ("toy/6, in training", "000000000070-ab.pt", None)


def test_nothing_is_found_in_an_empty_folder(tmp_path: Path) -> None:
    assert entries(tmp_path) == {}


def test_only_what_is_listed_can_be_named(root: Path) -> None:
    found = entries(root)
    for name in ("../work/models/toy/5", "/etc/passwd", "toy/5/../5", str(root / "models/toy/5")):
        assert name not in found


def test_other_weights_have_no_priors_of_these(root: Path) -> None:
    folder = root / "models/toy/5"
    other = folder / "last.safetensors"
    shutil.copy(folder / "weights.safetensors", other)
    assert load(other).headline == load(folder).headline  # the same numbers
    weights = bytearray(other.read_bytes())
    weights[-1] ^= 1
    other.write_bytes(weights)
    assert load(other).headline is None and load(folder).headline == "flow"
    with pytest.raises(UserError, match="of other weights"):
        load(other).sample(2)


def test_images_of_another_size_are_not_shown(root: Path) -> None:
    tell(root, size=32)
    found = opened(entries(root)["toy/5"])
    assert found.data is None
    assert found.missing == "its images and those of data/prepared differ: 16x16x1 and 32x32x1"


def test_missing_images_are_told(root: Path) -> None:
    shutil.rmtree(root / "data/prepared")
    assert opened(entries(root)["toy/5"]).missing == "no images in data/prepared: dvc repro prepare"


@pytest.mark.parametrize(
    "file",
    ["models/toy/5/weights.safetensors", "data/samples/toy/5/priors.safetensors",
     "data/prepared/card.json"],
)  # fmt: skip
def test_what_was_made_anew_or_removed_has_another_stamp(root: Path, file: str) -> None:
    entry = entries(root)["toy/5"]
    stamps = [entry.stamp]
    os.utime(root / file, ns=(1, 1))
    stamps.append(entry.stamp)
    (root / file).unlink()
    assert len({*stamps, entry.stamp}) == 3


@pytest.mark.parametrize("content", ["[]", "{", '{"toy": 3}', "{}"])
def test_scores_that_are_none_are_left_out(root: Path, content: str) -> None:
    entry = entries(root)["toy/5"]
    assert scores(entry)["fid"] == 7.61122
    (root / "reports/metrics.json").write_text(content)
    assert scores(entry) == {}


def test_a_damaged_one_names_its_file(root: Path) -> None:
    write_json(root / "models/toy/5/network.json", {"model": 3})
    with pytest.raises(UserError, match=r"network\.json"):
        opened(entries(root)["toy/5"])


def test_the_data_are_those_of_the_workspace(root: Path) -> None:
    found = opened(entries(root)["toy/5"]).data
    assert found is not None
    assert np.array_equal(found.test.images, np.load(root / "data/prepared/test.npy"))
