"""What the gallery draws, against what can be computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sharpvae.gallery import draws
from sharpvae.gallery.models import Chosen, entries, opened
from tests.gallery.workspace import ATTRIBUTES, lay
from tests.trained.toys import NAMES, images


@pytest.fixture(scope="module", params=[False, True], ids=["unconditional", "conditional"])
def chosen(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Chosen:
    root = lay(tmp_path_factory.mktemp("work"), conditional=request.param)
    return opened(entries(root)["toy/5"])


def test_axes_are_standard_deviations_of_codes(chosen: Chosen) -> None:
    """All steps together are a square root of the codes' covariance by the fitted axes."""
    axes = chosen.vae.priors.mixture.axes
    steps = draws.moves(chosen.vae, "axes", 4).steps.astype(np.float64)
    inner = axes.directions @ np.diag(1 + axes.signal) @ axes.directions.T
    expected = np.diag(axes.noise) @ inner @ np.diag(axes.noise)
    np.testing.assert_allclose(steps.T @ steps, expected, rtol=1e-4)
    variances = np.square(steps / axes.noise).sum(axis=1)
    assert (np.diff(variances) <= 1e-6).all(), "the strongest first"


def test_dimensions_move_one_at_a_time_by_their_deviation(chosen: Chosen) -> None:
    axes = chosen.vae.priors.mixture.axes
    found = draws.moves(chosen.vae, "dimensions", 4)
    covariance = axes.directions @ np.diag(1 + axes.signal) @ axes.directions.T
    deviation = axes.noise * np.sqrt(np.diag(covariance))
    order = [int(name[1:]) for name in found.names]
    assert sorted(order) == [0, 1, 2, 3]
    expected = np.zeros((4, 4))
    expected[range(4), order] = deviation[order]
    np.testing.assert_allclose(found.steps, expected, rtol=1e-4)


def test_codes_that_nothing_was_fitted_to_move_as_the_prior_does(tmp_path: Path) -> None:
    root = lay(tmp_path)
    (root / "data/samples/toy/5/priors.safetensors").unlink()
    found = draws.moves(opened(entries(root)["toy/5"]).vae, "axes", 2)
    assert found.names == ("z0", "z1")
    assert np.array_equal(found.steps, np.eye(4)[:2]) and not found.centre.any()


def test_a_grid_moves_one_direction_a_row() -> None:
    values = draws.grid_values(2, 3, 2.0)
    assert values.tolist() == [[-2, 0], [0, 0], [2, 0], [0, -2], [0, 0], [0, 2]]


def test_the_middle_of_a_grid_is_its_start(chosen: Chosen) -> None:
    moves = draws.moves(chosen.vae, "axes", 3)
    drawn = draws.moved(
        chosen.vae, moves.centre, moves.steps, draws.grid_values(3, 5, 3.0), label=1
    )
    start = chosen.vae.decode(moves.centre[None], 1 if chosen.vae.classes else None)[0]
    assert all(np.array_equal(drawn[row * 5 + 2], start) for row in range(3))
    assert not np.array_equal(drawn[0], start)


def test_a_reconstruction_and_how_far_it_is_off(chosen: Chosen) -> None:
    image = images(4)[1]
    found = draws.reconstructed(chosen.vae, image, 2)
    label = 2 if chosen.vae.classes else None
    assert np.array_equal(found.images[1], chosen.vae.reconstruct(image[None], label)[0])
    apart = (found.images[0].astype(float) - found.images[1]) / 255
    assert found.psnr == pytest.approx(-10 * np.log10(np.square(apart).mean()), abs=1e-6)
    assert found.error.shape == (1, 16, 16, 3)


def test_a_blur_is_read_off_one_picture(chosen: Chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(0)
    image = np.clip(random.normal(128, 40, (16, 16, 1)), 0, 255).astype(np.uint8)
    soft = (
        gaussian_filter(image[..., 0].astype(float), 1.0).round().astype(np.uint8)[None, ..., None]
    )
    monkeypatch.setattr(type(chosen.vae), "reconstruct", lambda *_: soft)
    blur = draws.reconstructed(chosen.vae, image, 0).blur_px
    assert blur == pytest.approx(1.0, abs=0.1)
    monkeypatch.setattr(type(chosen.vae), "reconstruct", lambda *_: np.full_like(soft, 7))
    assert draws.reconstructed(chosen.vae, image, 0).blur_px is None


def test_groups_are_classes_and_both_ends_of_attributes(chosen: Chosen) -> None:
    assert chosen.data is not None
    found = draws.groups(chosen.data)
    assert list(found) == [*NAMES, *(no + name for name in ATTRIBUTES for no in ("", "not "))]
    assert found["beech"].positions.tolist() == list(range(1, 60, 3))
    bald = chosen.data.train.factors[:, 0]  # type: ignore[index]
    assert (bald[found["bald"].positions] == 1).all()
    assert (bald[found["not bald"].positions] == 0).all()


def test_the_mean_code_of_a_class(chosen: Chosen) -> None:
    assert chosen.data is not None
    group = draws.groups(chosen.data)["cedar"]
    own = np.asarray(chosen.data.train.images[2::3])
    expected = chosen.vae.encode(own, 2 if chosen.vae.classes else None).mean.mean(axis=0)
    np.testing.assert_allclose(draws.mean_code(chosen, group), expected, rtol=1e-4, atol=1e-5)


def test_the_nearest_training_image(chosen: Chosen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "_CHUNK", 7)
    assert chosen.data is not None
    train = np.asarray(chosen.data.train.images).astype(float)
    wanted = images(9)[3]
    squares = np.square(train - wanted).mean(axis=(1, 2, 3))
    position, apart = draws.nearest(chosen.data, wanted)
    assert position == squares.argmin()
    assert apart == pytest.approx(squares.min() ** 0.5 / 255)
    assert draws.nearest(chosen.data, train[13].astype(np.uint8)) == (13, 0.0)


def test_a_quiz_has_as_many_reals_as_fakes_in_any_order(chosen: Chosen) -> None:
    assert chosen.data is not None
    reals = {image.tobytes() for image in np.asarray(chosen.data.test.images)}
    orders = set()
    for seed in range(5):
        found = draws.quiz(chosen, seed)
        assert found.real == tuple(image.tobytes() in reals for image in found.images)
        assert sum(found.real) == 5
        orders.add(found.real)
        again = draws.quiz(chosen, seed)
        assert np.array_equal(again.images, found.images)
    assert len(orders) > 1


def test_samples_of_all_classes_in_turn(chosen: Chosen) -> None:
    drawn = draws.sampled(chosen.vae, 6, 0, "normal", None, 1.0)
    labels = [0, 1, 2, 0, 1, 2] if chosen.vae.classes else None
    assert np.array_equal(drawn, chosen.vae.sample(6, 0, "normal", labels))
