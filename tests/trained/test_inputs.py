"""What is wrong with an argument is said before anything is computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.trained.inputs import (
    as_batch,
    as_codes,
    checked_codes,
    checked_images,
    checked_labels,
    factor,
    whole,
)

NAMES = ["ash", "beech", "cedar"]
ALL = slice(None)


def grey(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.uint8)


def test_every_form_of_one_image_is_the_same_batch() -> None:
    packed = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), dtype=np.uint8)
    floats = packed / np.float64(255)
    planes = torch.from_numpy(packed).permute(0, 3, 1, 2)
    backwards = np.ascontiguousarray(packed[::-1])[::-1]
    for images in (packed, floats, floats.astype(">f4"), backwards, planes, planes.double() / 255):
        batch = as_batch(checked_images("images", images, 16, 3), ALL)
        assert batch.dtype == torch.float32 and batch.shape == (3, 3, 16, 16)
        assert torch.allclose(batch, planes / 255, atol=1e-6)


def test_images_that_may_not_be_written_to_are_read() -> None:
    images = grey(2, 16, 16, 1)
    images.flags.writeable = False  # as the map of a file; PyTorch would warn
    assert as_batch(checked_images("images", images, 16, 1), ALL).shape == (2, 1, 16, 16)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (grey(16, 16, 1), "images[None]"),
        (grey(2, 16, 16), "images[..., None]"),
        (grey(2, 1, 16, 16), "transpose(0, 2, 3, 1)"),
        (torch.zeros(1, 16, 16), "images[None]"),
        (torch.zeros(2, 16, 16), "images[:, None]"),
        (torch.zeros(2, 16, 16, 1), "permute(0, 3, 1, 2)"),
        (grey(2, 28, 28, 1), "images of shape (N, 16, 16, 1)"),
        (torch.zeros(2, 3, 16, 16), "images of shape (N, 1, 16, 16)"),
        (grey(0, 16, 16, 1), "an array of shape (0, 16, 16, 1)"),
        (grey(), "an array of shape ()"),
        (np.zeros((2, 16, 16, 1), np.int64), "int64"),
        (np.zeros((2, 16, 16, 1), object), "object"),
        (torch.zeros(2, 1, 16, 16, dtype=torch.bool), "torch.bool"),
        (np.full((1, 16, 16, 1), np.nan), "NaN"),
        (torch.full((1, 1, 16, 16), torch.inf), "infinity"),
        (np.full((1, 16, 16, 1), 200.0), "images / 255"),
        (torch.full((1, 1, 16, 16), -0.5), "(images + 1) / 2"),
        (np.full((1, 16, 16, 1), 1.02), "floats from 1.02 to 1.02"),
        ([[0.5]], "builtins.list"),
    ],
)
def test_other_images_are_refused_in_words(images: object, says: str) -> None:
    with pytest.raises(UserError) as caught:
        checked_images("images", images, 16, 1)
    assert says in str(caught.value) and caught.value.where == "images"


def test_a_single_image_has_no_first_axis() -> None:
    assert checked_images("start", grey(16, 16, 1), 16, 1, single=True).shape == (16, 16, 1)
    with pytest.raises(UserError, match=r"one image of shape \(16, 16, 1\)"):
        checked_images("start", grey(1, 16, 16, 1), 16, 1, single=True)


def test_codes_are_rows_of_finite_floats() -> None:
    for codes in (np.ones((2, 4)), torch.ones(2, 4, dtype=torch.float64, requires_grad=True)):
        found = as_codes(checked_codes("codes", codes, 4))
        assert found.dtype == torch.float32 and torch.equal(found, torch.ones(2, 4))
    for codes, says in (
        (np.ones(4), r"shape \(4,\)"),
        (np.ones((2, 5)), r"codes of shape \(N, 4\)"),
        (np.ones((2, 4), np.int64), "int64"),
        (np.full((2, 4), np.nan), "NaN"),
    ):
        with pytest.raises(UserError, match=says):
            checked_codes("codes", codes, 4)


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        (2, [2, 2]),
        ("cedar", [2, 2]),
        (np.int64(1), [1, 1]),
        (["ash", 2], [0, 2]),
        ((np.int32(1), 0), [1, 0]),
        (np.array([2, 0]), [2, 0]),
        (torch.tensor([0, 1]), [0, 1]),
        (torch.tensor(1), [1, 1]),
    ],
)
def test_a_class_is_one_for_all_or_one_each(label, classes: list[int]) -> None:
    found = checked_labels(label, 2, 3, NAMES)
    assert found is not None and found.dtype == torch.int64 and found.tolist() == classes


@pytest.mark.parametrize(
    ("label", "says"),
    [
        (None, "the VAE is conditional"),
        (3, "a class from 0 to 2"),
        (-1, "a class from 0 to 2"),
        (True, "a class from 0 to 2"),
        (1.0, "a class from 0 to 2"),
        ("ceder", "did you mean 'cedar'"),
        ([1], "one class, or 2 of them"),
        ([1, 1, 1], "3 of them"),
        (np.array([[1], [2]]), "a class from 0 to 2"),
    ],
)
def test_a_class_that_is_none_is_refused(label, says: str) -> None:
    with pytest.raises(UserError, match=says):
        checked_labels(label, 2, 3, NAMES)


def test_a_name_needs_names_and_an_unconditional_vae_no_class() -> None:
    with pytest.raises(UserError, match="not at hand"):
        checked_labels("ash", 2, 3, None)
    assert checked_labels(None, 2, 0, None) is None
    with pytest.raises(UserError, match="not conditional"):
        checked_labels(0, 2, 0, None)


def test_numbers_are_numbers() -> None:
    assert whole("n", np.int64(3), 1) == 3 and factor("temperature", 1) == 1.0
    for value in (0, -1, 2.0, True, "3", None):
        with pytest.raises(UserError, match="a whole number, 1 or more"):
            whole("n", value, 1)
    for value in (-0.1, np.nan, np.inf, "1", None, True):
        with pytest.raises(UserError, match="a number, 0 or more"):
            factor("temperature", value)
