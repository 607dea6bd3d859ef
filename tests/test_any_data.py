"""Folders of few images through every stage, with nothing set but where they are."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharpvae.scoring.neighbours import LEAST
from tests.toy import passes, stage, toy


def _folder(place: Path, count: int) -> None:
    """Patches of random colours, two of three in grey: a mixed folder is one of RGB."""
    place.mkdir(parents=True)
    random = np.random.default_rng(count)
    for index in range(count):
        patches = random.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        image = Image.fromarray(patches).resize((40, 40), Image.Resampling.BICUBIC)
        (image if index % 3 == 0 else image.convert("L")).save(place / f"{index:03}.png")


def _run(
    place: Path, *variants: str, batch_size: str = "null", conditional: bool = False
) -> dict[str, dict[str, object]]:
    """All stages of these variants on the images in `mine` => variant -> what `evaluate` wrote."""

    def change(text: str) -> str:
        for name in {"original", "improved", "sharp"}.difference(variants):
            text = re.sub(rf"(?ms)^  {name}:.*?(?=^  \w+:|\Z)", "", text)
        return (
            text.replace("  name: mnist5k ", "  name: folder ")
            .replace("  path: null ", "  path: mine ", 1)
            .replace("  batch_size: null ", f"  batch_size: {batch_size} ", 1)
        )

    toy(place, change)
    if conditional:
        before, sharp = (place / "params.yaml").read_text().split("  sharp:")
        sharp = sharp.replace("    model: {", "    model: {conditional: true, ", 1)
        (place / "params.yaml").write_text(f"{before}  sharp:{sharp}")
    for name in ("configure", "prepare", "critic", "reference"):
        passes(place, name)
    found = {}
    for variant in variants:
        for name in ("train", "sample", "evaluate"):
            passes(place, name, variant, "0")
        scores = place / f"reports/scores/{variant}/0/scores.json"
        found[variant] = json.loads(scores.read_text())
    passes(place, "report")
    assert (place / "reports/report.html").is_file()
    return found


def _numbers_or_reasons(found: dict[str, dict[str, object]]) -> None:
    for run in found.values():
        scores, reasons = run["scores"], run["reasons"]
        assert isinstance(scores, dict) and isinstance(reasons, dict)
        assert all(value is None or np.isfinite(value) for value in scores.values())
        for key, reason in reasons.items():
            assert (scores[key] is None and reason) or reason.startswith("no interval: ")


@pytest.mark.slow
def test_300_images_have_every_score(tmp_path: Path) -> None:
    _folder(tmp_path / "mine", 300)
    found = _run(tmp_path, "original")
    _numbers_or_reasons(found)
    for run in found.values():
        for key in ("fid", "fid_mixture", "fid_flow", "kid", "coverage", "precision", "psnr"):
            assert run["scores"][key] is not None


@pytest.mark.slow
def test_25_images_have_the_scores_that_5_test_images_allow(tmp_path: Path) -> None:
    _folder(tmp_path / "mine", 25)
    found = _run(tmp_path, "sharp", batch_size="8")
    _numbers_or_reasons(found)
    for run in found.values():
        assert run["scores"]["fid"] is not None and run["scores"]["psnr"] is not None
        for key in ("coverage", "precision", "blur_px", "artefact"):
            assert run["scores"][key] is None
            assert f"{LEAST} are needed" in run["reasons"][key]


def test_25_images_are_fewer_than_the_batch(tmp_path: Path) -> None:
    _folder(tmp_path / "mine", 25)
    toy(tmp_path, lambda text: text.replace("  name: mnist5k ", "  name: folder ")
        .replace("  path: null ", "  path: mine ", 1))  # fmt: skip
    passes(tmp_path, "configure")
    refused = stage(tmp_path, "prepare")
    assert refused.returncode == 1
    assert "at least 32 train images, for a whole batch of train.batch_size" in refused.stderr
    assert "add images to data.path, or lower train.batch_size" in refused.stderr
    assert not (tmp_path / "data/prepared").exists()


@pytest.mark.slow
def test_a_class_of_three_images_is_asked_for_among_many(tmp_path: Path) -> None:
    _folder(tmp_path / "mine/many", 240)
    _folder(tmp_path / "mine/few", 3)
    found = _run(tmp_path, "sharp", conditional=True)
    _numbers_or_reasons(found)
    assert found["sharp"]["scores"]["fid"] is not None
    labels = np.load(tmp_path / "data/samples/sharp/0/labels.npy")
    assert len(labels) == len(np.load(tmp_path / "data/samples/sharp/0/flow.npy"))


@pytest.mark.slow
def test_images_of_one_colour_end_in_words(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for index in range(120):
        Image.new("RGB", (24, 24), (index, 2 * index, 40)).save(tmp_path / f"mine/{index:03}.png")
    toy(tmp_path, lambda text: text.replace("  name: mnist5k ", "  name: folder ")
        .replace("  path: null ", "  path: mine ", 1))  # fmt: skip
    for name in ("configure", "prepare", "critic"):
        passes(tmp_path, name)
    done = stage(tmp_path, "reference")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "train images with edges" in done.stderr
