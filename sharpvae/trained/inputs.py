"""What a caller hands over, checked before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.errors import UserError, nearest
from sharpvae.images.feed import to_float

Given: TypeAlias = NDArray[Any] | Tensor
Label: TypeAlias = int | str | Sequence[int | str] | NDArray[Any] | Tensor | None


def whole(where: str, value: object, least: int) -> int:
    """A whole number, `least` or more."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise UserError(where, f"a whole number, {least} or more", repr(value))
    return int(value)


def factor(where: str, value: object) -> float:
    """A finite number, 0 or more."""
    number = math.nan if isinstance(value, bool) or not isinstance(value, Real) else float(value)
    if not 0 <= number < math.inf:
        raise UserError(where, "a number, 0 or more", repr(value))
    return number


def one_of(where: str, value: object, names: Sequence[str]) -> str:
    """One of `names`."""
    if not isinstance(value, str) or value not in names:
        fix = nearest(str(value), names)
        raise UserError(where, f"one of {', '.join(names)}", repr(value), fix)
    return value


def checked_images(
    where: str, images: object, size: int, channels: int, single: bool = False
) -> Given:
    """Images as `TrainedVAE` takes them, not yet converted; one without the axis N if `single`.

    Raises:
        UserError: another type, shape or range.
    """
    given = _array(where, images)
    one = (size, size, channels) if isinstance(given, np.ndarray) else (channels, size, size)
    shape = tuple(given.shape)
    expected = f"{'one image' if single else 'images'} of shape {_shown(one, single)}"
    right = shape == one if single else shape[1:] == one and shape[0] > 0
    if not right:
        found = f"an array of shape {shape}"
        raise UserError(where, expected, found, "" if single else _reshaped(given, one))
    if not _bytes(given):
        _check_floats(where, given, "uint8, or floats in [0, 1]")
        lowest, highest = float(given.min()), float(given.max())
        if lowest < 0 or highest > 1:
            found = f"floats from {lowest:g} to {highest:g}"
            raise UserError(where, "floats in [0, 1]", found, _rescaled(lowest, highest))
    return given


def checked_codes(where: str, codes: object, latent_dim: int) -> Given:
    """Codes of shape (N, Z), floats of any size.

    Raises:
        UserError: another type or shape, or a value that is no finite number.
    """
    given = _array(where, codes)
    shape = tuple(given.shape)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != latent_dim:
        expected = f"codes of shape {_shown((latent_dim,), False)}"
        raise UserError(where, expected, f"an array of shape {shape}")
    _check_floats(where, given, "floats")
    return given


def checked_labels(
    label: Label, count: int, classes: int, names: Sequence[str] | None
) -> Tensor | None:
    """The class of each of `count` images, int64 (count,); None for an unconditional VAE.

    Args:
        classes: of the VAE; 0 for an unconditional one, which wants no label.
        names: label -> name; None where they are not known.

    Raises:
        UserError: a label too many or missing, or no such class.
    """
    arrays = (Tensor, np.ndarray, np.generic)
    given: object = label.tolist() if isinstance(label, arrays) else label
    if not classes:
        if given is not None:
            expected = "none: the VAE is not conditional, so it cannot be asked for a class"
            raise UserError("label", expected, repr(given))
        return None
    if given is None:
        expected = f"a class, from 0 to {classes - 1} or by its name: the VAE is conditional"
        raise UserError("label", expected, "None")
    if isinstance(given, str) or not isinstance(given, Sequence):
        given = [given] * count
    each = list(given)
    if len(each) != count:
        raise UserError("label", f"one class, or {count} of them", f"{len(each)} of them")
    return torch.tensor([_class(value, classes, names) for value in each])


def as_batch(images: Given, part: slice) -> Tensor:
    """Some of images that are checked: float32 (B, C, H, W) in [0, 1]"""
    chunk = images[part]
    if isinstance(chunk, np.ndarray):
        # A copy: PyTorch would warn of an array that cannot be written to, such as a file's map.
        own = np.array(chunk, np.uint8 if _bytes(chunk) else np.float32, order="C")
        chunk = torch.from_numpy(own).permute(0, 3, 1, 2)
    return to_float(chunk) if _bytes(chunk) else chunk.float()


def as_codes(codes: Given) -> Tensor:
    """Codes that are checked: float32 (N, Z)"""
    if isinstance(codes, np.ndarray):
        return torch.from_numpy(np.array(codes, np.float32, order="C"))
    return codes.float()


def _array(where: str, given: object) -> Given:
    if isinstance(given, Tensor):
        return given.detach()
    if isinstance(given, np.ndarray):
        return given
    found = f"{type(given).__module__}.{type(given).__name__}"
    raise UserError(where, "a NumPy array or a PyTorch tensor", found)


def _bytes(given: Given) -> bool:
    """Whether the values are uint8."""
    return bool(given.dtype == (torch.uint8 if isinstance(given, Tensor) else np.uint8))


def _check_floats(where: str, given: Given, expected: str) -> None:
    """Whether the values are floats, and finite."""
    floats = given.is_floating_point() if isinstance(given, Tensor) else given.dtype.kind == "f"
    if not floats:
        raise UserError(where, expected, str(given.dtype))
    finite = torch.isfinite(given) if isinstance(given, Tensor) else np.isfinite(given)
    if not finite.all():
        raise UserError(where, expected, "NaN or infinity among them")


def _shown(shape: tuple[int, ...], single: bool) -> str:
    """(N, 32, 32, 1)"""
    return f"({', '.join(map(str, shape if single else ('N', *shape)))})"


def _reshaped(given: Given, one: tuple[int, ...]) -> str:
    """What to do about images of another shape, where it can be told; `one` is that of one."""
    shape, numpy = tuple(given.shape), isinstance(given, np.ndarray)
    if shape == one:
        return "put the axis of the images first: images[None]"
    if numpy and shape[1:] == (one[2], *one[:2]):
        return "put the channels last: images.transpose(0, 2, 3, 1)"
    if not numpy and shape[1:] == (*one[1:], one[0]):
        return "put the channels first: images.permute(0, 3, 1, 2)"
    if numpy and shape[1:] == one[:2] and one[2] == 1:
        return "put the axis of the channel last: images[..., None]"
    if not numpy and shape[1:] == one[1:] and one[0] == 1:
        return "put the axis of the channel second: images[:, None]"
    return ""


def _rescaled(lowest: float, highest: float) -> str:
    """What to do about floats of another range."""
    if lowest >= 0 and 2 < highest <= 255:
        return "if they are from 0 to 255: images / 255"
    if lowest >= -1 and highest <= 1:
        return "if they are from -1 to 1: (images + 1) / 2"
    return "bring them to [0, 1], by clipping where a filter overshot"


def _class(value: object, classes: int, names: Sequence[str] | None) -> int:
    """The number of a class that is given by its number or its name."""
    if isinstance(value, str):
        if names is None:
            expected = f"a number from 0 to {classes - 1}: the names of the classes are not at hand"
            raise UserError("label", expected, repr(value), "get them: dvc repro sample")
        return list(names).index(one_of("label", value, names))
    if isinstance(value, bool) or not isinstance(value, Integral) or not 0 <= int(value) < classes:
        raise UserError("label", f"a class from 0 to {classes - 1}", repr(value))
    return int(value)
