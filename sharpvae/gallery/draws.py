"""What the gallery draws from a VAE, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sharpvae.core.seeds import generator
from sharpvae.gallery.models import Chosen, Data
from sharpvae.images.packed import Split
from sharpvae.scoring import measures, spectra
from sharpvae.trained.model import TrainedVAE

Images = NDArray[np.uint8]  # (N, S, S, C)
Floats = NDArray[np.float32]
Label = int | None

MOST_CODES = 2000  # training images that the mean of a class is taken over
QUIZ = 10
_CHUNK = 4096  # training images compared at once


class Moves(NamedTuple):
    """Ways to move a code, the one that changes most first."""

    steps: Floats  # (D, Z), what one standard deviation along each adds to a code
    names: tuple[str, ...]
    centre: Floats  # (Z,), the mean code


def moves(vae: TrainedVAE, kind: str, most: int) -> Moves:
    """The `most` strongest signal axes, or latent dimensions if `kind` is not "axes".

    Along the axes of `sharpvae.sampling.codes` the codes of images vary most against the noise of
    their posteriors. Where nothing was fitted to the codes, N(0, I) stands for them, and dimensions
    keep their order.
    """
    if vae.headline is None:
        steps, order = np.eye(vae.latent_dim), np.arange(vae.latent_dim)[:most]
        centre = np.zeros(vae.latent_dim)
        return Moves(
            steps[order].astype(np.float32), tuple(f"z{at}" for at in order),
            centre.astype(np.float32),
        )  # fmt: skip
    axes = vae.priors.mixture.axes
    if kind == "axes":
        steps = (axes.directions * np.sqrt(1 + axes.signal)).T * axes.noise
        order, names = np.arange(len(steps))[:most], "axis {}"
    else:
        signal = np.square(axes.directions) @ axes.signal  # of each dimension
        steps, names = np.diag(axes.noise * np.sqrt(1 + signal)), "z{}"
        order = np.argsort(-signal, kind="stable")[:most]
    return Moves(
        steps[order].astype(np.float32), tuple(names.format(at) for at in order.tolist()),
        axes.centre.astype(np.float32),
    )  # fmt: skip


def moved(vae: TrainedVAE, base: Floats, steps: Floats, values: Floats, label: Label) -> Images:
    """`base` with every row of `values`, (N, D), standard deviations added along `steps`, (D, Z)"""
    return vae.decode((base + values @ steps).astype(np.float32), asked(vae, label))


def grid_values(directions: int, columns: int, reach: float) -> Floats:
    """(directions * columns, directions): one direction after the other from -reach to reach."""
    values = np.zeros((directions, columns, directions), np.float32)
    for row in range(directions):
        values[row, :, row] = np.linspace(-reach, reach, columns)
    return values.reshape(-1, directions)


class Reconstructed(NamedTuple):
    """A picture, what the VAE makes of it, and how far that is off."""

    images: Images  # (2, S, S, C)
    error: Images  # (1, S, S, 3), the absolute difference, over all channels the largest
    psnr: float  # dB
    blur_px: float | None  # None where the fit finds none
    ssim: float


def reconstructed(vae: TrainedVAE, image: Images, label: Label) -> Reconstructed:
    """Reconstruct one image, (S, S, C)."""
    real = image[None]
    fake = vae.reconstruct(real, asked(vae, label))
    apart = np.abs(real.astype(np.int16) - fake).max(axis=3)[0]
    try:  # of one picture and itself: nothing was sampled that the fit would have to allow for
        before, after = (spectra.radial_power(own).power[0] for own in (real, fake))
        blur: float | None = spectra.fit_blur(before, after, image.shape[:2]).sigma
    except ValueError:
        blur = None
    return Reconstructed(
        np.concatenate([real, fake]), heat(apart), float(measures.psnr(real, fake)[0]), blur,
        float(measures.ssim(real, fake)[0]),
    )  # fmt: skip


def heat(differences: NDArray[Any]) -> Images:
    """Differences (H, W), 0 to 255, in the colours of magma, whose brightest is a quarter."""
    from matplotlib import colormaps  # a third of a second

    coloured = colormaps["magma"](np.clip(differences / 64, 0, 1))[..., :3]
    return (255 * coloured + 0.5).astype(np.uint8)[None]


def shown_labels(split: Split, position: int) -> Label:
    """The class of an image; None without labels."""
    return None if split.labels is None else int(split.labels[position])


class Group(NamedTuple):
    """Images that share a class or an attribute."""

    name: str
    positions: NDArray[np.int64]  # in the training split


def groups(data: Data) -> dict[str, Group]:
    """The classes and attributes of training images, by name; few images suffice of each."""
    card, train = data.card, data.train
    found = []
    if train.labels is not None:
        for label, name in enumerate(card.class_names or ()):
            found.append(Group(name, np.flatnonzero(train.labels == label)))
    if train.factors is not None:
        for column, name in enumerate(card.factor_names or ()):
            values = train.factors[:, column]
            ends = {"": values.max(), "not ": values.min()}
            found += [Group(f"{no}{name}", np.flatnonzero(values == v)) for no, v in ends.items()]
    return {one.name: one for one in found if len(one.positions)}


def mean_code(chosen: Chosen, group: Group) -> Floats:
    """The mean of the posterior means of a group's images, (Z,)"""
    assert chosen.data is not None
    train, positions = chosen.data.train, group.positions[:MOST_CODES]
    labels = None
    if chosen.vae.classes and train.labels is not None:
        labels = np.asarray(train.labels[positions])
    codes = chosen.vae.encode(np.asarray(train.images[positions]), labels).mean
    return codes.mean(axis=0, dtype=np.float64).astype(np.float32)


def nearest(data: Data, image: Images) -> tuple[int, float]:
    """The training image nearest to one of (S, S, C): its position, and their RMS difference.

    The difference is the root of the mean square over pixels in [0, 1].
    """
    images, wanted = data.train.images, image.astype(np.float32).ravel()
    best, least = 0, np.inf
    for start in range(0, len(images), _CHUNK):
        chunk = images[start : start + _CHUNK].reshape(-1, wanted.size).astype(np.float32)
        squares = np.square(chunk - wanted).mean(axis=1)
        at = int(squares.argmin())
        if squares[at] < least:
            best, least = start + at, float(squares[at])
    return best, least**0.5 / 255


class Quiz(NamedTuple):
    """Pictures to tell apart."""

    images: Images  # (QUIZ, S, S, C)
    real: tuple[bool, ...]


def quiz(chosen: Chosen, seed: int) -> Quiz:
    """As many real test images as samples of the VAE's own prior, in random order."""
    assert chosen.data is not None
    vae, data, half = chosen.vae, chosen.data, QUIZ // 2
    order = generator(seed, "quiz")
    positions = torch.randperm(len(data.test.images), generator=order)[:half].numpy()
    label = None
    if vae.classes:
        label = torch.randint(vae.classes, (half,), generator=order).tolist()
    prior = None if vae.headline else "normal"
    fakes = vae.sample(half, seed, prior, label)
    both = np.concatenate([np.asarray(data.test.images[positions]), fakes])
    shuffled = torch.randperm(len(both), generator=order).numpy()
    return Quiz(both[shuffled], tuple((shuffled < len(positions)).tolist()))


def sampled(
    vae: TrainedVAE, count: int, seed: int, prior: str, label: Label, temperature: float
) -> Images:
    """Draw; of a prior that was not fitted UserError."""
    each: Label | Sequence[int] = label if vae.classes else None
    if vae.classes and label is None:
        each = [at % vae.classes for at in range(count)]
    return vae.sample(count, seed, prior, each, temperature)


def asked(vae: TrainedVAE, label: Label) -> Label:
    """The label that an unconditional VAE refuses is left out; of a conditional one it is 0."""
    return (label or 0) if vae.classes else None
