"""What is drawn: repeatable, in range, in order; grids that show it whole."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sharpvae.core.seeds import global_seed
from sharpvae.images.tiles import grid, pairs
from sharpvae.training.validate import Film
from sharpvae.vae.draw import asked_labels, encode, from_prior
from sharpvae.vae.vae import VAE
from tests.conftest import IMPROVED
from tests.feeds import feed_of


@pytest.fixture
def vae(model_config) -> VAE:
    with global_seed(0, "weights"):
        return VAE(model_config(), 1, 16).eval()


def test_samples_are_uint8_images_of_the_seed(vae: VAE) -> None:
    images = from_prior(vae, 5, 2, seed=0)
    assert images.shape == (5, 16, 16, 1) and images.dtype == np.uint8
    assert np.array_equal(images, from_prior(vae, 5, 2, seed=0))
    assert not np.array_equal(images, from_prior(vae, 5, 2, seed=1))


def test_the_batch_size_does_not_change_the_samples(vae: VAE) -> None:
    """To within one grey level: sums of another order may round the other way."""
    one, all_ = from_prior(vae, 9, 1, 0).astype(int), from_prior(vae, 9, 9, 0).astype(int)
    assert np.abs(one - all_).max() <= 1


def test_reconstructions_are_in_order_and_through_the_mean(vae: VAE) -> None:
    images = torch.randint(0, 256, (7, 1, 16, 16), dtype=torch.uint8)
    encoded = encode(vae, feed_of(images), 3)
    assert encoded.reconstructions.shape == (7, 16, 16, 1)
    last = encode(vae, feed_of(images[6:]), 3)
    assert np.allclose(encoded.mean[6], last.mean[0], atol=1e-6)
    decoded = vae.decoder(torch.from_numpy(encoded.mean)) * 255
    shown = torch.from_numpy(encoded.reconstructions).permute(0, 3, 1, 2)
    assert (decoded - shown).abs().max() <= 0.51


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_shows_every_image_unsmoothed(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, channels), dtype=np.uint8)
    picture = np.asarray(grid(images, 3))
    scale = picture.shape[1] // (3 * 18 + 2)
    small = picture[::scale, ::scale]
    assert small.shape == (2 * 18 + 2, 3 * 18 + 2, 3)
    assert np.array_equal(small[20:36, 2:18], np.broadcast_to(images[3], (16, 16, 3)))
    assert (small[20:36, 38:54] == 128).all(), "the sixth place is empty"


def test_pairs_put_each_reconstruction_below_its_image() -> None:
    images = np.zeros((4, 16, 16, 1), np.uint8)
    picture = np.asarray(pairs(images, images + 255, 2))
    rows = picture[:: picture.shape[0] // (4 * 18 + 2)][10::18, 30, 0]
    assert rows.tolist() == [0, 255, 0, 255]


def test_a_film_numbers_its_frames_and_leaves_the_vae_as_it_was(tmp_path: Path, vae: VAE) -> None:
    validation = torch.randint(0, 256, (40, 1, 16, 16), dtype=torch.uint8)
    film = Film(tmp_path, 2, feed_of(validation), seed=0)
    assert [film.due(epoch, last=False) for epoch in (1, 2, 3, 4)] == [False, True, False, True]
    assert film.due(3, last=True)
    vae.train()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    film.shoot(vae)
    film.shoot(vae)
    assert vae.training
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())
    for folder in ("reconstructions", "samples"):
        frames = sorted(path.name for path in (tmp_path / folder).iterdir())
        assert frames == ["0.png", "1.png"]
        first, second = ((tmp_path / folder / name).read_bytes() for name in frames)
        assert first == second, "the same images each time"


def test_labels_are_asked_for_as_often_as_they_occur() -> None:
    asked = asked_labels(torch.tensor([3, 3, 3, 0]), 8000, seed=0)
    assert asked.dtype == torch.int64 and set(asked.tolist()) == {0, 3}
    assert (asked == 3).float().mean() == pytest.approx(0.75, abs=0.02)
    assert torch.equal(asked, asked_labels(torch.tensor([3, 3, 3, 0]), 8000, seed=0))


def test_a_conditional_vae_draws_what_it_is_asked_for(model_config, tmp_path: Path) -> None:
    """The same codes with other labels are other images; encoding passes the labels on."""
    with global_seed(0, "weights"):
        vae = VAE(model_config(conditional=True), 1, 16, classes=3).eval()
    one, two = (from_prior(vae, 4, 3, 0, torch.full((4,), label)) for label in (0, 2))
    assert not np.array_equal(one, two)
    mixed = from_prior(vae, 4, 3, 0, torch.tensor([0, 2, 2, 0]))
    assert np.array_equal(mixed, np.stack([one[0], two[1], two[2], one[3]]))
    images = torch.randint(0, 256, (6, 1, 16, 16), dtype=torch.uint8)
    means = [encode(vae, feed_of(images, torch.full((6,), k)), 4).mean for k in (0, 1)]
    assert not np.allclose(*means)
    Film(tmp_path, 1, feed_of(images, torch.arange(6) % 3), seed=0).shoot(vae)


@pytest.mark.parametrize("count", [1, 5, 9])
def test_a_film_works_with_few_validation_images(tmp_path: Path, vae: VAE, count: int) -> None:
    few = feed_of(torch.zeros(count, 1, 16, 16, dtype=torch.uint8))
    Film(tmp_path, 1, few, seed=0).shoot(vae)


@pytest.mark.parametrize(
    ("count", "test", "drawn"),
    [(None, 350, 350), (None, 1, 2), (None, 20_000, 10_000), (7, 350, 7), (20_000, 350, 20_000)],
)
def test_as_many_are_drawn_as_there_are_test_images(
    count: int | None, test: int, drawn: int
) -> None:
    assert IMPROVED.sample.model_copy(update={"count": count}).drawn(test) == drawn
