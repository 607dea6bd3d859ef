"""Augmentations change what they say, keep what they must, and let the gradient pass."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.objective.augmentation import NUMBERS, augment


def images(count: int = 6, channels: int = 3, size: int = 16) -> Tensor:
    return torch.rand(count, channels, size, size, generator=generator(0, "images"))


def draws(count: int = 6, seed: int = 0) -> Tensor:
    return torch.rand(count, NUMBERS, generator=generator(seed, "draws"))


def neutral(count: int = 1) -> Tensor:
    """No change of colour, no shift."""
    return torch.full((count, NUMBERS), 0.5)


def test_nothing_asked_for_is_nothing_done() -> None:
    assert augment(images(), [], draws()) is not None
    assert torch.equal(augment(images(), [], draws()), images())
    same = augment(images(1), ["colour", "translation"], neutral())
    assert torch.allclose(same, images(1), atol=1e-6)


@pytest.mark.parametrize("kinds", [["colour"], ["translation"], ["cutout"]])
def test_each_image_is_changed_by_its_own_draws_alone(kinds: list[str]) -> None:
    found = augment(images(), kinds, draws())
    for index in range(6):
        one = slice(index, index + 1)
        alone = augment(images()[one], kinds, draws()[one])
        assert torch.allclose(found[one], alone, atol=1e-6)


def test_brightness_and_contrast_are_what_was_drawn() -> None:
    number = neutral()
    number[0, 0], number[0, 2] = 1.0, 0.0  # a quarter brighter, half the contrast
    found = augment(images(1), ["colour"], number)
    level = images(1).mean()
    assert torch.allclose(found, level + 0.25 + (images(1) - level) * 0.5, atol=1e-5)


def test_saturation_leaves_grey_images_alone() -> None:
    number = neutral()
    number[0, 1] = 0.0
    grey = images(1, 1).expand(-1, 3, -1, -1)
    assert torch.allclose(augment(grey, ["colour"], number), grey, atol=1e-6)
    found = augment(images(1), ["colour"], number)
    assert torch.allclose(found[:, 0], found[:, 1], atol=1e-5), "without saturation all is grey"


@pytest.mark.parametrize(("column", "axis"), [(3, 2), (4, 3)])
@pytest.mark.parametrize(("draw", "shift"), [(0.0, -2), (0.999, 2), (0.5, 0)])
def test_translation_moves_whole_pixels_and_fills_with_grey(column, axis, draw, shift) -> None:
    number = neutral()
    number[0, column] = draw
    found = augment(images(1), ["translation"], number)
    expected = torch.roll(images(1), shift, axis)
    empty = range(shift) if shift > 0 else range(16 + shift, 16)
    expected.index_fill_(axis, torch.tensor(list(empty), dtype=torch.int64), 0.5)
    assert torch.allclose(found, expected, atol=1e-6)


def test_cutout_takes_a_square_of_half_a_side() -> None:
    changed = augment(images(200), ["cutout"], draws(200)) != images(200)
    cut = changed.any(1).sum((1, 2))
    assert cut.max() == 64 and cut.min() >= 16, "a part may lie outside"
    for mask in changed.any(1)[:20]:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None, :])


def test_the_gradient_passes_as_the_image_does() -> None:
    given = images().requires_grad_()
    augment(given, ["colour", "translation", "cutout"], draws()).sum().backward()
    assert torch.isfinite(given.grad).all() and given.grad.abs().sum() > 0
