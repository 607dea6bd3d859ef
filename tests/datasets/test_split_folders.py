from __future__ import annotations

from pathlib import Path

import pytest

from sharpvae.core.errors import UserError
from sharpvae.images.packed import load_split
from tests.datasets.samples import Config, fill, packed, refusal


@pytest.mark.parametrize("names", [("train", "val", "test"), ("Training", "Validation", "Testing")])
def test_train_and_test_folders_are_splits(
    names: tuple[str, ...], data_config: Config, tmp_path: Path
) -> None:
    """And not classes; the classes are the folders within."""
    for split, (name, count) in enumerate(zip(names, (8, 3, 5), strict=True)):
        for label, kind in enumerate(("cat", "dog")):
            fill(tmp_path / "pets" / name / kind, count, start=100 * split + 50 * label)
    card, directory = packed(data_config(path=str(tmp_path / "pets")), tmp_path)
    assert card.class_names == ["cat", "dog"]
    assert card.counts == {"train": 16, "validation": 6, "test": 10}
    assert card.class_counts == {"train": [8, 8], "validation": [3, 3], "test": [5, 5]}
    assert load_split(directory, "test").labels is not None


def test_without_classes(data_config: Config, tmp_path: Path) -> None:
    fill(tmp_path / "flat" / "train", 12)
    fill(tmp_path / "flat" / "test", 5, start=50)
    card, _ = packed(data_config(path=str(tmp_path / "flat")), tmp_path)
    assert card.class_names is None
    assert card.counts == {"train": 9, "validation": 3, "test": 5}


def test_a_class_may_be_called_test(data_config: Config, tmp_path: Path) -> None:
    """Without a folder for training, or beside others, the name means nothing."""
    for name, start in (("test", 0), ("control", 40)):
        fill(tmp_path / "cells" / name, 10, start=start)
    card, _ = packed(data_config(path=str(tmp_path / "cells")), tmp_path)
    assert card.class_names == ["control", "test"]


def test_images_beside_class_folders_within_a_split(data_config: Config, tmp_path: Path) -> None:
    fill(tmp_path / "pets" / "train" / "cat", 4)
    fill(tmp_path / "pets" / "test" / "cat", 4, start=20)
    fill(tmp_path / "pets" / "test", 1, start=40)
    error = refusal(data_config(path=str(tmp_path / "pets")), tmp_path)
    assert isinstance(error, UserError)
    assert error.where.endswith("test/040.png")
