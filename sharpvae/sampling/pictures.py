"""Ways through the latent space, as codes to decode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.images.feed import Feed
from sharpvae.images.tiles import grid
from sharpvae.sampling.config import SampleConfig
from sharpvae.sampling.mixture import Codes
from sharpvae.vae.draw import Encoded, decode, prior_noise, to_packed
from sharpvae.vae.vae import VAE, kl_per_dimension

_PARALLEL = 1e-4  # sine of the angle below which a spherical path is taken straight


def traverse(base: Tensor, dimensions: list[int], reach: float, steps: int) -> Tensor:
    """`base` with one dimension after the other set to values from -reach to reach.

    float32 (Z,), D dimensions => float32 (D, steps, Z)
    """
    codes = base.repeat(len(dimensions), steps, 1)
    values = torch.linspace(-reach, reach, steps)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = values
    return codes


def interpolate(
    start: Tensor, end: Tensor, steps: int, path: Literal["linear", "spherical"]
) -> Tensor:
    """Codes from `start` to `end`, both among them, in even steps.

    A linear path passes nearer the origin than either end, where few codes of a large latent space
    lie; a spherical one (Shoemake 1985; White 2016 for latent spaces) turns from one direction to
    the other at an even rate and keeps the length of codes that are equally long. Where the ends
    are parallel, or opposite so that no turn is the shortest, or one is 0, it is the linear one.

    float32 (Z,) twice => float32 (steps, Z)
    """
    share = torch.linspace(0, 1, steps, dtype=torch.float64)[:, None]
    a, b = start.double(), end.double()
    lengths = a.norm() * b.norm()
    cosine = torch.dot(a, b) / lengths if lengths > 0 else torch.ones_like(lengths)
    angle = torch.arccos(cosine.clamp(-1, 1))
    if path == "linear" or torch.sin(angle) < _PARALLEL:
        return (a + share * (b - a)).float()
    weights = torch.sin((1 - share) * angle), torch.sin(share * angle)
    return ((weights[0] * a + weights[1] * b) / torch.sin(angle)).float()


def along(code: Tensor, direction: Tensor, shares: Tensor) -> Tensor:
    """`code` plus shares of `direction`.

    float32 (Z,), (Z,), (S,) => float32 (S, Z)
    """
    return code + shares[:, None] * direction


Images = NDArray[np.uint8]

_SHARES = torch.linspace(0, 1.5, 7)  # of the difference between two classes


class Picture(NamedTuple):
    """A grid and what its rows and columns are; no grid, and why, where there can be none."""

    grid: Image.Image | None
    shows: dict[str, Any]


def skipped(reason: str) -> Picture:
    """No picture, for `reason`."""
    return Picture(None, {"left_out": reason})


@dataclass(frozen=True)
class Explorer:
    """Draws the pictures of one VAE.

    Attributes:
        test: images that start and end the ways through the latent space.
        encoded: the codes of `test`, in its order.
        train: codes of training images, which say where a class lies on average.
        asked: int64 (count,), the classes of draws from the prior; None for an unconditional VAE.
        class_names: label -> name; None without labels.
    """

    vae: VAE
    test: Feed
    encoded: Encoded
    train: Codes
    asked: Tensor | None
    class_names: list[str] | None
    config: SampleConfig
    seed: int

    def pictures(self) -> Iterator[tuple[str, Picture]]:
        """Each picture with its name."""
        yield "temperature", self.temperature()
        yield "classes", self.classes()
        yield "traversal", self.traversal()
        yield "interpolation", self.interpolation()
        yield "arithmetic", self.arithmetic()

    def temperature(self) -> Picture:
        """A row a temperature T: the first draws of prior.png, times T."""
        temperatures = self.config.temperatures
        noise = prior_noise(self.vae, self.config.count, self.seed)[: self.config.columns]
        codes = torch.cat([temperature * noise for temperature in temperatures])
        asked = None
        if self.asked is not None:
            asked = self.asked[: len(noise)].repeat(len(temperatures))
        return Picture(grid(self._decode(codes, asked), len(noise)), {"rows": temperatures})

    def classes(self) -> Picture:
        """A row a class, the same draw from the prior all the way down a column."""
        if not self.vae.classes or self.class_names is None:
            return skipped("the VAE is not conditional: it cannot be asked for a class")
        count = self.config.columns
        noise = torch.randn(count, self.vae.latent_dim, generator=generator(self.seed, "classes"))
        codes = noise.repeat(self.vae.classes, 1)
        labels = torch.arange(self.vae.classes).repeat_interleave(count)
        return Picture(grid(self._decode(codes, labels), count), {"rows": self.class_names})

    def traversal(self) -> Picture:
        """A row a dimension, of the highest KL first, from -reach to reach.

        All other dimensions stay at the posterior mean of the first test image.
        """
        config = self.config.traversal
        mean, log_var = (torch.from_numpy(a).double() for a in self.encoded[1:])
        kl = kl_per_dimension(mean, log_var).numpy().mean(axis=0)
        best = np.argsort(-kl, kind="stable")[: config.dimensions].tolist()
        codes = traverse(self._mean(0), best, config.reach, config.steps).flatten(0, 1)
        rows = [{"dimension": index, "kl": float(kl[index])} for index in best]
        values = np.linspace(-config.reach, config.reach, config.steps).tolist()
        picture = grid(self._decode(codes, self._labels([0] * len(codes))), config.steps)
        return Picture(picture, {"rows": rows, "columns": values, "image": 0})

    def interpolation(self) -> Picture:
        """A row a pair of test images: the one, the way between their posterior means, the other.

        A conditional VAE goes between images of one class, since labels have nothing between them.
        """
        config = self.config.interpolation
        pairs = self._pairs(config.pairs)
        if not pairs:
            return skipped("no two test images of one class")
        rows = []
        for a, b in pairs:
            codes = interpolate(self._mean(a), self._mean(b), config.steps, config.path)
            between = self._decode(codes, self._labels([a] * config.steps))
            rows.append(np.concatenate([self._real(a), between, self._real(b)]))
        return Picture(grid(np.concatenate(rows), config.steps + 2), {"rows": pairs})

    def arithmetic(self) -> Picture:
        """A row for each [a, b, c]: an image of c, then its code plus shares of mean(a) - mean(b).

        The first share is 0, the reconstruction.
        """
        if self.class_names is None or self.train.labels is None or self.test.labels is None:
            return skipped("the images have no labels")
        triples = self.config.arithmetic
        triples = default_arithmetic(self.class_names) if triples is None else triples
        rows: list[Images] = []
        shown: list[dict[str, str]] = []
        missing: list[list[str]] = []
        for names in triples:
            a, b, c = map(self.class_names.index, names)
            image = next(iter((self.test.labels == c).nonzero().flatten().tolist()), None)
            if image is None or not {a, b} <= set(self.train.labels.tolist()):
                missing.append(names)  # a class has no image here
                continue
            direction = self._class_mean(a) - self._class_mean(b)
            codes = along(self._mean(image), direction, _SHARES)
            drawn = self._decode(codes, self._labels([image] * len(codes)))
            rows.append(np.concatenate([self._real(image), drawn]))
            shown.append({"plus": names[0], "minus": names[1], "image": names[2]})
        if not rows:
            return skipped("no images of the classes asked for" if triples else "none asked for")
        picture = grid(np.concatenate(rows), len(_SHARES) + 1)
        description: dict[str, Any] = {"rows": shown, "columns": _SHARES.tolist()}
        return Picture(picture, description | ({"without_images": missing} if missing else {}))

    def _pairs(self, count: int) -> list[tuple[int, int]]:
        if not self.vae.classes or self.test.labels is None:
            return [(i, i + 1) for i in range(0, min(2 * count, self.test.count - 1), 2)]
        of_class = [
            (self.test.labels == label).nonzero().flatten().tolist()
            for label in range(self.vae.classes)
        ]
        most = max(map(len, of_class))
        return [
            (images[i], images[i + 1])
            for i in range(0, most, 2)  # a pair of each class before a second of any
            for images in of_class
            if i + 1 < len(images)
        ][:count]

    def _class_mean(self, label: int) -> Tensor:
        return torch.from_numpy(self.train.mean[self.train.labels == label].mean(axis=0)).float()

    def _mean(self, image: int) -> Tensor:
        return torch.from_numpy(self.encoded.mean[image])

    def _labels(self, images: list[int]) -> Tensor | None:
        return None if self.test.labels is None else self.test.labels[images]

    def _real(self, image: int) -> Images:
        return to_packed(self.test.take(torch.tensor([image])).images)

    def _decode(self, codes: Tensor, labels: Tensor | None) -> Images:
        return decode(self.vae, codes, labels, self.config.batch_size)


def default_arithmetic(class_names: list[str]) -> list[list[str]]:
    """Each of the first three classes turned into the next: b + mean(next) - mean(b)."""
    first = class_names[:3]
    turned = zip(first[1:] + first[:1], first, strict=True)
    return [[after, name, name] for after, name in turned if after != name]
