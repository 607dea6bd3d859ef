"""A variant that is images made elsewhere, beside one that is trained, through every stage."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.scoring.pictures import discs
from tests.toy import dvc, environment, passes, stage, toy, under_dvc, with_variants

SAMPLES = "samples/theirs.npy"


def write_samples(place: Path, images: np.ndarray) -> None:
    (place / SAMPLES).parent.mkdir(exist_ok=True)
    np.save(place / SAMPLES, images)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default variant `improved`, and `theirs`; over two seeds, up to the prepared images."""

    def change(text: str) -> str:
        text = text.replace("seeds: [0] ", "seeds: [0, 1] ")
        return with_variants(text, f"  improved: {{}}\n  theirs: {{samples: {SAMPLES}}}")

    place = toy(tmp_path_factory.mktemp("toy"), change)
    write_samples(place, discs(150, 0, 16) / 255)
    said = passes(place, "configure")
    assert f"theirs: images made elsewhere, {SAMPLES}" in said
    passes(place, "prepare")
    return place


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy"


def test_nothing_is_trained_and_the_same_images_are_taken_for_each_seed(place: Path) -> None:
    for seed in ("0", "1"):
        assert "nothing to train" in passes(place, "train", "theirs", seed)
        assert "120 of 150 images" in passes(place, "sample", "theirs", seed)
    assert sorted(path.name for path in (place / "models/theirs/0").iterdir()) == [
        "history.csv", "summary.json",
    ]  # fmt: skip
    summary = json.loads((place / "models/theirs/0/summary.json").read_text())
    assert summary == {"trained": False, "samples": SAMPLES}
    first, second = (
        np.load(place / f"data/samples/theirs/{seed}/headline.npy") for seed in ("0", "1")
    )
    assert np.array_equal(first, second)
    whole = {image.tobytes() for image in discs(150, 0, 16)}
    assert {image.tobytes() for image in first} <= whole and len(first) == 120


@pytest.mark.parametrize(
    ("images", "parts"),
    [
        (discs(150, 1, 16), [SAMPLES, "others", "dvc repro --force configure"]),
        (discs(150, 0, 20), ["variants.theirs.samples", "16x16 pixels", "20x20 pixels"]),
        (discs(150, 0, 16, 3), ["variants.theirs.samples", "grey images", "colours"]),
        (discs(10, 0, 16), ["variants.theirs.samples", "at least 20 samples", "10"]),
        (np.full((30, 16, 16), np.nan), [SAMPLES, "NaN"]),
        (np.array([{}]), [SAMPLES, "never unpickled"]),
    ],
    ids=["others", "size", "colours", "few", "NaN", "objects"],
)  # fmt: skip
def test_images_that_do_not_fit_are_refused(
    place: Path, images: np.ndarray, parts: list[str]
) -> None:
    write_samples(place, images)
    if "others" not in parts:
        passes(place, "configure")
    before = sorted(place.rglob("*"))
    done = stage(place, "sample", "theirs", "0")
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    for part in parts:
        assert part in done.stderr
    assert sorted(place.rglob("*")) == before


@pytest.mark.slow
def test_it_is_scored_and_shown_beside_the_trained_one(place: Path) -> None:
    params = place / "params.yaml"
    params.write_text(params.read_text().replace("seeds: [0, 1] ", "seeds: [0] "))
    for name in ("critic", "reference"):
        passes(place, name)
    test, train = (np.load(place / f"data/prepared/{name}.npy") for name in ("test", "train"))
    write_samples(place, np.concatenate([test[:5], train[:300]]))
    passes(place, "configure")
    for variant in ("improved", "theirs"):
        for name in ("train", "sample", "evaluate"):
            passes(place, name, variant, "0")
    passes(place, "report")
    metrics = json.loads((place / "reports/metrics.json").read_text())
    assert metrics["theirs"]["fid"] < metrics["improved"]["fid"]
    assert metrics["theirs"]["distinct"] == 1
    assert not {"psnr", "fid_prior", "signal_axes"} & metrics["theirs"].keys()
    page = (place / "reports/report.html").read_text()
    assert "The samples of theirs were made elsewhere" in page
    assert "samples are real images, bit for bit" in page and SAMPLES in page
    done = subprocess.run(
        [sys.executable, "-c", "import sharpvae; sharpvae.load('models/theirs/0')"],
        cwd=place, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "nothing was trained: its images were made elsewhere" in done.stderr


@pytest.mark.slow
def test_dvc_sees_other_images_in_samples(place: Path) -> None:
    """And runs what is theirs alone; the empty folders that nothing was filmed into come back."""
    under_dvc(place)

    def configured() -> str:
        return (place / "configs/theirs/sample.json").read_text()

    dvc(place, "repro", "train@theirs-0", "sample@theirs-0")
    before = configured(), (place / "configs/improved/train.json").read_bytes()
    assert "Running" not in dvc(place, "repro", "sample@theirs-0")
    write_samples(place, discs(150, 1, 16))
    said = dvc(place, "repro", "sample@theirs-0")
    assert {"configure", "train@theirs-0", "sample@theirs-0"} == set(
        re.findall(r"Running stage '([^']+)'", said)
    )
    assert configured() != before[0]
    assert (place / "configs/improved/train.json").read_bytes() == before[1]
    for name in ("film", "live"):
        shutil.rmtree(place / "reports" / name)
    dvc(place, "checkout", "reports/film/theirs/0", "reports/live/theirs/0")
    assert list((place / "reports/film/theirs/0").iterdir()) == []
    assert list((place / "reports/live/theirs/0").iterdir()) == []
