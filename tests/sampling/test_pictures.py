"""The pictures of a VAE, read back image by image."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sharpvae.core.seeds import global_seed
from sharpvae.sampling.codes import codes_of
from sharpvae.sampling.config import SampleConfig
from sharpvae.sampling.pictures import Explorer, Picture, default_arithmetic
from sharpvae.vae.draw import asked_labels, decode, encode, from_prior
from sharpvae.vae.vae import VAE
from tests.conftest import IMPROVED
from tests.feeds import feed_of

NAMES = ["ash", "beech", "cedar"]
LABELS = torch.tensor([2, 0, 1, 1, 0, 2, 0, 1])


def images_of(picture: Picture, rows: int, columns: int) -> np.ndarray:
    """The images of a grid of 16x16: uint8 (rows, columns, 16, 16)"""
    assert isinstance(picture.grid, Image.Image)
    pixels = np.asarray(picture.grid)[..., 0]
    scale = pixels.shape[1] // (columns * 18 + 2)
    pixels = pixels[::scale, ::scale]
    assert pixels.shape == (rows * 18 + 2, columns * 18 + 2)
    return np.array(
        [
            [pixels[2 + 18 * y : 18 + 18 * y, 2 + 18 * x : 18 + 18 * x] for x in range(columns)]
            for y in range(rows)
        ]
    )


@pytest.fixture
def explorer(model_config) -> Callable[..., Explorer]:
    def build(conditional: bool = False, labels: Tensor | None = LABELS, **changes) -> Explorer:
        with global_seed(0, "weights"):
            vae = VAE(model_config(conditional=conditional), 1, 16, classes=3).eval()
            with torch.no_grad():  # codes as far apart as those of a trained one
                vae.encoder.mean.weight.mul_(50)
        values = {
            **IMPROVED.sample.model_dump(), "count": 12, "columns": 4,
            "traversal": {"dimensions": 2, "reach": 3.0, "steps": 5},
            "interpolation": {"pairs": 3, "steps": 4, "path": "linear"},
        }  # fmt: skip
        config = SampleConfig.model_validate({**values, **changes})
        random = torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (8, 1, 16, 16), dtype=torch.uint8, generator=random)
        feed = feed_of(images, labels)
        asked = asked_labels(LABELS, 12, 0) if conditional else None
        codes = codes_of(vae, feed, 100, 3, 0)
        names = None if labels is None else NAMES
        return Explorer(vae, feed, encode(vae, feed, 8), codes, asked, names, config, 0)

    return build


def near(one: np.ndarray, other: np.ndarray) -> bool:
    """Equal to within one grey level: sums of another order may round the other way."""
    return bool(np.abs(one.astype(int) - other.astype(int)).max() <= 1)


def real(explorer: Explorer, image: int) -> np.ndarray:
    return (explorer.test.take(torch.tensor([image])).images[0, 0] * 255).round().byte().numpy()


def test_codes_are_those_of_the_encoder_in_an_order_of_the_seed(explorer) -> None:
    one = explorer()
    encoded = one.encoded
    order = [
        int(np.abs(encoded.mean - mean.astype(np.float32)).sum(1).argmin())
        for mean in one.train.mean
    ]
    assert sorted(order) == list(range(8))
    assert np.allclose(one.train.mean, encoded.mean[order], atol=1e-4)
    assert np.allclose(one.train.deviation, np.exp(encoded.log_var[order] / 2), rtol=1e-4)
    assert one.train.labels is not None
    assert one.train.labels.tolist() == LABELS[order].tolist()
    assert len(codes_of(one.vae, one.test, 5, 3, 0).mean) == 5


@pytest.mark.parametrize("conditional", [False, True])
def test_temperature_one_is_the_prior_and_zero_its_centre(explorer, conditional: bool) -> None:
    one = explorer(conditional, temperatures=[0.0, 0.5, 1.0])
    picture = one.temperature()
    rows = images_of(picture, 3, 4)
    prior = from_prior(one.vae, 12, 12, 0, one.asked)[:4, ..., 0]
    assert near(rows[2], prior)
    assert picture.shows == {"rows": [0.0, 0.5, 1.0]}
    if conditional:
        for a in range(4):
            for b in range(4):
                alike = one.asked[a] == one.asked[b]
                assert np.array_equal(rows[0, a], rows[0, b]) == alike
    else:
        assert (rows[0] == rows[0, 0]).all(), "without noise every image is the same"


def test_classes_share_their_codes_down_a_column(explorer) -> None:
    one = explorer(conditional=True)
    picture = one.classes()
    rows = images_of(picture, 3, 4)
    assert picture.shows["rows"] == NAMES
    assert not np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0, 0], rows[0, 1])
    assert "not conditional" in explorer().classes().shows["left_out"]


@pytest.mark.parametrize("conditional", [False, True])
def test_a_traversal_walks_the_dimensions_of_most_kl(explorer, conditional: bool) -> None:
    one = explorer(conditional)
    picture = one.traversal()
    kl = 0.5 * (one.encoded.mean**2 + np.exp(one.encoded.log_var) - 1 - one.encoded.log_var)
    best = np.argsort(-kl.mean(0))[:2].tolist()
    assert [row["dimension"] for row in picture.shows["rows"]] == best
    assert picture.shows["columns"] == [-3.0, -1.5, 0.0, 1.5, 3.0]
    code = torch.from_numpy(one.encoded.mean[0]).clone()
    code[best[1]] = 1.5
    drawn = decode(one.vae, code[None], LABELS[:1], 1)[0, ..., 0]
    assert near(images_of(picture, 2, 5)[1, 3], drawn)


@pytest.mark.parametrize("conditional", [False, True])
def test_an_interpolation_stands_between_its_real_images(explorer, conditional: bool) -> None:
    one = explorer(conditional)
    picture = one.interpolation()
    pairs = picture.shows["rows"]
    rows = images_of(picture, 3, 6)
    for row, (a, b) in zip(rows, pairs, strict=True):
        assert np.array_equal(row[0], real(one, a)) and np.array_equal(row[-1], real(one, b))
        assert near(row[1], one.encoded.reconstructions[a, ..., 0])
        assert near(row[-2], one.encoded.reconstructions[b, ..., 0])
        if conditional:
            assert LABELS[a] == LABELS[b]
    assert conditional or pairs == [(0, 1), (2, 3), (4, 5)]


def test_arithmetic_turns_one_class_into_another(explorer) -> None:
    one = explorer(arithmetic=[["cedar", "ash", "beech"]])
    picture = one.arithmetic()
    (row,) = images_of(picture, 1, 8)
    assert picture.shows["rows"] == [{"plus": "cedar", "minus": "ash", "image": "beech"}]
    image = 2  # the first beech of the test images
    assert np.array_equal(row[0], real(one, image))
    assert near(row[1], one.encoded.reconstructions[image, ..., 0])
    mean = one.encoded.mean
    direction = mean[LABELS == 2].mean(0) - mean[LABELS == 0].mean(0)
    share = picture.shows["columns"].index(1.0)
    whole = decode(one.vae, torch.from_numpy(mean[image] + direction)[None], None, 1)
    assert near(row[1 + share], whole[0, ..., 0])


def test_arithmetic_is_left_out_with_its_reason(explorer) -> None:
    assert "no labels" in explorer(labels=None).arithmetic().shows["left_out"]
    assert "none asked for" in explorer(arithmetic=[]).arithmetic().shows["left_out"]
    no_cedar = explorer(labels=LABELS % 2, arithmetic=[["ash", "beech", "cedar"]])
    assert "no images" in no_cedar.arithmetic().shows["left_out"]


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["a", "b", "c", "d"], [["b", "a", "a"], ["c", "b", "b"], ["a", "c", "c"]]),
        (["a", "b"], [["b", "a", "a"], ["a", "b", "b"]]),
        (["a"], []),
    ],
)
def test_the_default_turns_each_class_into_the_next(names, rows) -> None:
    assert default_arithmetic(names) == rows


@pytest.mark.parametrize("conditional", [False, True])
def test_every_picture_is_drawn_or_says_why_not(explorer, conditional: bool) -> None:
    pictures = explorer(conditional).pictures()
    assert set(pictures) == {"temperature", "classes", "traversal", "interpolation", "arithmetic"}
    missing = {name for name, picture in pictures.items() if picture.grid is None}
    assert missing == (set() if conditional else {"classes"})
    labelless = explorer(labels=None).pictures()
    assert {n for n, p in labelless.items() if p.grid is None} == {"classes", "arithmetic"}
