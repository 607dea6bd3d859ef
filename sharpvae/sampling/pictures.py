"""What a trained VAE draws: the images that are scored, and pictures of its latent space."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sharpvae.core.files import write_json
from sharpvae.core.seeds import generator
from sharpvae.images.feed import Feed
from sharpvae.images.packed import SplitName
from sharpvae.images.tiles import grid
from sharpvae.sampling.codes import Codes, codes_of
from sharpvae.sampling.config import SampleConfig
from sharpvae.sampling.priors import latents
from sharpvae.sampling.stored import FILE, Priors, save_priors
from sharpvae.vae.draw import Encoded, asked_labels, decode, encode, prior_noise, to_packed
from sharpvae.vae.vae import VAE, kl_per_dimension

Images = NDArray[np.uint8]

_PARALLEL = 1e-4  # sine of the angle below which a spherical path is straight
_SHARES = torch.linspace(0, 1.5, 7)  # of the difference between two classes


def traverse(base: Tensor, dimensions: list[int], reach: float, steps: int) -> Tensor:
    """`base` with one dimension after the other set to values from -reach to reach.

    float32 (Z,), D dimensions => float32 (D, steps, Z)
    """
    codes = base.repeat(len(dimensions), steps, 1)
    for row, dimension in enumerate(dimensions):
        codes[row, :, dimension] = torch.linspace(-reach, reach, steps)
    return codes


def interpolate(
    start: Tensor, end: Tensor, steps: int, path: Literal["linear", "spherical"]
) -> Tensor:
    """Codes from `start` to `end`, both included, in even steps.

    A linear path passes near the origin, where a large latent space has few codes; a spherical one
    (Shoemake 1985; White 2016) turns at an even rate and keeps the length of codes that are equally
    long. Where the ends are parallel or opposite, or one is 0, it is the linear one.

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
    """`code` plus shares of `direction`: float32 (Z,), (Z,), (S,) => float32 (S, Z)"""
    return code + shares[:, None] * direction


class Picture(NamedTuple):
    """A grid and what its rows and columns are; or None, and why it was left out."""

    grid: Image.Image | None
    shows: dict[str, Any]


def _left_out(reason: str) -> Picture:
    return Picture(None, {"left_out": reason})


@dataclass(frozen=True)
class Explorer:
    """Draws the pictures of one VAE."""

    vae: VAE
    test: Feed  # images where the paths through the latent space start and end
    encoded: Encoded  # the codes of `test`, in its order
    train: Codes  # of training images, which give the mean of a class
    asked: Tensor | None  # int64 (count,), classes of draws from the prior; if conditional
    class_names: list[str] | None  # label -> name; None without labels
    config: SampleConfig
    seed: int

    def pictures(self) -> dict[str, Picture]:
        """Each picture by its name."""
        names = ("temperature", "classes", "traversal", "interpolation", "arithmetic")
        return {name: getattr(self, name)() for name in names}

    def temperature(self) -> Picture:
        """One row per temperature T: the first draws of prior.png, times T."""
        temperatures = self.config.temperatures
        count = self.config.drawn(self.test.count)
        noise = prior_noise(self.vae, count, self.seed)[: self.config.columns]
        codes = torch.cat([temperature * noise for temperature in temperatures])
        asked = self.asked
        asked = None if asked is None else asked[: len(noise)].repeat(len(temperatures))
        return Picture(grid(self._decode(codes, asked), len(noise)), {"rows": temperatures})

    def classes(self) -> Picture:
        """One row per class, one draw from the prior per column."""
        if not self.vae.classes or self.class_names is None:
            return _left_out("the VAE is not conditional: it cannot be asked for a class")
        count = self.config.columns
        noise = torch.randn(count, self.vae.latent_dim, generator=generator(self.seed, "classes"))
        codes = noise.repeat(self.vae.classes, 1)
        labels = torch.arange(self.vae.classes).repeat_interleave(count)
        return Picture(grid(self._decode(codes, labels), count), {"rows": self.class_names})

    def traversal(self) -> Picture:
        """One row per dimension, the highest KL first, varied around the first test image."""
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
        """One row per pair of test images, with the path between their posterior means.

        A conditional VAE gets pairs of one class, since there is nothing between two labels.
        """
        config = self.config.interpolation
        pairs = self._pairs(config.pairs)
        if not pairs:
            return _left_out("no two test images of one class")
        rows = []
        for a, b in pairs:
            codes = interpolate(self._mean(a), self._mean(b), config.steps, config.path)
            between = self._decode(codes, self._labels([a] * config.steps))
            rows.append(np.concatenate([self._real(a), between, self._real(b)]))
        return Picture(grid(np.concatenate(rows), config.steps + 2), {"rows": pairs})

    def arithmetic(self) -> Picture:
        """One row per [a, b, c]: an image of c, then its code plus shares of mean(a) - mean(b)."""
        if self.class_names is None or self.train.labels is None or self.test.labels is None:
            return _left_out("the images have no labels")
        triples = self.config.arithmetic
        triples = default_arithmetic(self.class_names) if triples is None else triples
        rows: list[Images] = []
        shown, missing = [], []
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
            return _left_out("no images of the classes asked for" if triples else "none asked for")
        picture = grid(np.concatenate(rows), len(_SHARES) + 1)
        description: dict[str, Any] = {"rows": shown, "columns": _SHARES.tolist()}
        return Picture(picture, description | ({"without_images": missing} if missing else {}))

    def _pairs(self, count: int) -> list[tuple[int, int]]:
        if not self.vae.classes or self.test.labels is None:
            return [(i, i + 1) for i in range(0, min(2 * count, self.test.count - 1), 2)]
        labels, classes = self.test.labels, range(self.vae.classes)
        of_class = [(labels == label).nonzero().flatten().tolist() for label in classes]
        most = max(map(len, of_class))
        return [
            (images[i], images[i + 1])
            for i in range(0, most, 2)  # a pair of each class before a second of any
            for images in of_class
            if i + 1 < len(images)
        ][:count]

    def paint(self, directory: Path) -> dict[str, str]:
        """Write every picture, and pictures.json; name -> reason, of those that are left out."""
        pictures = self.pictures()
        for name, picture in pictures.items():
            if picture.grid is not None:
                picture.grid.save(directory / f"{name}.png")
        shown = {name: picture.shows for name, picture in pictures.items()}
        write_json(directory / "pictures.json", shown)
        return {name: shows["left_out"] for name, shows in shown.items() if "left_out" in shows}

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


def draw(
    directory: Path, vae: VAE, feeds: dict[SplitName, Feed], config: SampleConfig, seed: int,
    class_names: list[str] | None,
) -> tuple[Explorer, dict[str, Any]]:  # fmt: skip
    """Write what is scored; return what draws the pictures, and what priors.json tells."""
    count, batch_size = config.drawn(feeds["test"].count), config.batch_size
    train = feeds["train"]
    asked = None
    if vae.classes and train.labels is not None:
        asked = asked_labels(train.labels, count, seed)
        np.save(directory / "labels.npy", asked.numpy())
    codes, unseen = (
        codes_of(vae, feed, config.mixture.draws, batch_size, seed)
        for feed in (train, feeds["validation"])
    )
    found = latents(vae, codes, unseen, asked, count, config, seed)
    chosen = found.told | {"drawn": count}
    write_json(directory / "priors.json", chosen)
    names = class_names if vae.classes else None
    priors = Priors(found.mixture, found.flow, chosen["headline"], names)
    save_priors(directory / FILE, priors, vae)
    for name, of_images in found.codes.items():
        images = decode(vae, of_images, asked, batch_size)
        for file in [name, "headline"] if name == chosen["headline"] else [name]:
            np.save(directory / f"{file}.npy", images)
            grid(images[: config.columns**2], config.columns).save(directory / f"{file}.png")
    validation = encode(vae, feeds["validation"], batch_size)
    np.save(directory / "reconstruction_validation.npy", validation.reconstructions)
    encoded = encode(vae, feeds["test"], batch_size)
    np.save(directory / "reconstruction.npy", encoded.reconstructions)
    np.savez(directory / "posterior.npz", mean=encoded.mean, log_var=encoded.log_var)
    return Explorer(vae, feeds["test"], encoded, codes, asked, class_names, config, seed), chosen
