from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpvae.scoring.judges import LearnedJudge, save_learned
from sharpvae.scoring.panel import agreement, classify

CPU = torch.device("cpu")


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    """A judge that sees class 1 in every image."""
    judge = LearnedJudge(1, 2, [4])
    torch.nn.init.zeros_(judge.classifier.classify.weight)
    with torch.no_grad():
        judge.classifier.classify.bias.copy_(torch.tensor([0.0, 1.0]))
    shape = {"image_channels": 1, "classes": 2, "widths": [4], "task": "labels"}
    (tmp_path / "reference").mkdir()
    save_learned(tmp_path / "reference", judge, shape)
    return tmp_path / "reference"


def test_classify_takes_the_most_probable_class_in_order() -> None:
    torch.manual_seed(0)
    judge = LearnedJudge(3, 5, [4, 8]).eval()
    images = np.random.default_rng(0).integers(0, 256, (7, 16, 16, 3), dtype=np.uint8)
    logits = judge(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255)
    expected = logits.argmax(1).numpy()
    assert np.array_equal(classify(judge, images, 3, CPU), expected)


def test_a_run_that_was_asked_for_classes_is_judged(tmp_path: Path, reference: Path) -> None:
    images = np.zeros((4, 16, 16, 1), np.uint8)
    np.save(tmp_path / "labels.npy", np.array([1, 1, 1, 0]))
    assert agreement(tmp_path, images, reference, 3, CPU) == 0.75


def test_without_classes_there_is_nothing_to_agree_on(tmp_path: Path, reference: Path) -> None:
    images = np.zeros((4, 16, 16, 1), np.uint8)
    assert agreement(tmp_path, images, reference, 4, CPU) is None
    np.save(tmp_path / "labels.npy", np.array([1, 1, 1, 0]))
    assert agreement(tmp_path, images, tmp_path / "no judge", 4, CPU) is None
    description = json.loads((reference / "judge.json").read_text())
    (reference / "judge.json").write_text(json.dumps(description | {"task": "rotations"}))
    assert agreement(tmp_path, images, reference, 4, CPU) is None
