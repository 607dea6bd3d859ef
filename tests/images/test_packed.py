from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from sharpvae.core.errors import UserError
from sharpvae.images.packed import (
    Card,
    Skipped,
    load_card,
    load_split,
    write_card,
    write_factors,
    write_images,
    write_labels,
)

CARD = Card(
    name="folder", title="Äpfel", licence="none", citation="", source="fruit", image_size=16,
    channels=3, class_names=["a", "b"], counts={"train": 3, "validation": 1, "test": 2},
    class_counts={"train": [1, 2], "validation": [1, 0], "test": [1, 1]},
    factor_names=None, sha256={"train": "0", "validation": "1", "test": "2"},
    fit="pad", subset=0.5, classes=None, binarize=None, seed=0, duplicates_removed=4,
    skipped=[Skipped("a/b.txt", "not an image")],
)  # fmt: skip


def test_a_card_comes_back_and_is_the_same_bytes_each_time(tmp_path: Path) -> None:
    write_card(tmp_path, CARD)
    first = (tmp_path / "card.json").read_bytes()
    assert load_card(tmp_path) == CARD
    write_card(tmp_path, load_card(tmp_path))
    assert (tmp_path / "card.json").read_bytes() == first
    assert json.loads(first)["title"] == "Äpfel"


@pytest.mark.parametrize("labelled", [True, False])
def test_a_split_comes_back(tmp_path: Path, labelled: bool) -> None:
    images = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    digest = write_images(tmp_path, "test", images.shape, iter([images[:1], images[1:]]))
    if labelled:
        write_labels(tmp_path, "test", np.array([1, 0]))
    split = load_split(tmp_path, "test")
    np.testing.assert_array_equal(split.images, images)
    assert isinstance(split.images, np.memmap)
    assert not split.images.flags.writeable
    assert (split.labels is not None) == labelled
    if split.labels is not None:
        assert split.labels.dtype == np.int64
        assert split.labels.tolist() == [1, 0]
    assert digest == hashlib.sha256((tmp_path / "test.npy").read_bytes()).hexdigest()
    assert split.factors is None


def test_factors_come_back(tmp_path: Path) -> None:
    np.save(tmp_path / "test.npy", np.zeros((2, 4, 4, 1), np.uint8))
    write_factors(tmp_path, "test", np.array([[0, 5, 1], [2, 0, 3]]))
    factors = load_split(tmp_path, "test").factors
    assert factors is not None
    assert factors.tolist() == [[0, 5, 1], [2, 0, 3]]
    write_factors(tmp_path, "test", np.zeros((3, 2)))
    with pytest.raises(UserError, match="one row for each of 2 images"):
        load_split(tmp_path, "test")


def test_what_is_missing_or_wrong_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file") as caught:
        load_split(tmp_path, "train")
    assert caught.value.where == str(tmp_path / "train.npy")
    assert "dvc repro" in caught.value.fix
    for array in (np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 1), np.float32)):
        np.save(tmp_path / "train.npy", array)
        with pytest.raises(UserError, match=r"uint8 with 4 dimensions[\s\S]*of shape \(2, 4, 4"):
            load_split(tmp_path, "train")
    np.save(tmp_path / "train.npy", np.zeros((2, 4, 4, 1), np.uint8))
    (tmp_path / "train.npy").write_bytes((tmp_path / "train.npy").read_bytes()[:-5])
    with pytest.raises(UserError):
        load_split(tmp_path, "train")
    np.save(tmp_path / "train.npy", np.zeros((2, 4, 4, 1), np.uint8))
    write_labels(tmp_path, "train", np.zeros(3))
    with pytest.raises(UserError, match="one row for each of 2 images"):
        load_split(tmp_path, "train")


@pytest.mark.parametrize("text", ["[]", '{"name": "x"}', "{"])
def test_a_card_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "card.json").write_text(text)
    with pytest.raises(UserError) as caught:
        load_card(tmp_path)
    assert caught.value.where == str(tmp_path / "card.json")


def test_a_card_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        CARD.name = "other"  # type: ignore[misc]
