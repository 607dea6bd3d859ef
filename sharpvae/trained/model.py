"""A trained VAE to be called from Python: `load`, and what it gives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sharpvae.core.artefacts import load_artefact
from sharpvae.core.config import is_given
from sharpvae.core.devices import borrowed
from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded, read_json
from sharpvae.core.seeds import generator, global_seed
from sharpvae.sampling.pictures import interpolate
from sharpvae.sampling.priors import Density
from sharpvae.sampling.stored import FILE, Priors, load_priors
from sharpvae.trained.inputs import (
    Given,
    Label,
    as_batch,
    as_codes,
    checked_codes,
    checked_images,
    checked_labels,
    factor,
    one_of,
    whole,
)
from sharpvae.trained.interrupted import from_checkpoint
from sharpvae.vae.draw import decode, prior_noise
from sharpvae.vae.vae import VAE, Described, Posterior, built

# Description and weights: as `train` writes them, and as they are called at Hugging Face.
NETWORK, WEIGHTS, SUMMARY = "network.json", "weights.safetensors", "summary.json"
HUB_NETWORK, HUB_WEIGHTS = "config.json", "model.safetensors"
PRIORS, PATHS = ("normal", "mixture", "flow"), ("linear", "spherical")
_BATCH = 250  # images at a time

Array = TypeVar("Array", NDArray[Any], Tensor)


class Encoding(NamedTuple, Generic[Array]):
    """The diagonal Gaussian N(mean, exp(log_var)) of each image."""

    mean: Array  # float32 (N, Z)
    log_var: Array  # float32 (N, Z)


@dataclass(frozen=True, repr=False, eq=False)
class TrainedVAE:
    """A VAE that `train` has written; made by `load`.

    NumPy arrays in, NumPy arrays out; PyTorch tensors in, tensors out, on the same device:

    - NumPy: images are (N, S, S, C), uint8 or floats in [0, 1]; they come out as uint8.
    - PyTorch: images are (N, C, S, S), uint8 or floats in [0, 1]; they come out as float32 in
      [0, 1].

    Codes are floats (N, Z), and come out as float32. A `label` is a class by its number or its
    name, or a list with one for each image; a conditional VAE needs it, an unconditional one
    refuses it. No method keeps gradients; `network` does. An argument of another shape, type or
    range is a UserError, which says what was expected, what was found and what to do.

    Attributes:
        folder: where it was loaded from.
        network: the PyTorch module in evaluation mode; its `encoder` and `decoder` take tensors.
        image_size, channels: S, and C, which is 1 or 3.
    """

    folder: Path
    network: VAE
    image_size: int
    channels: int
    _priors: Priors | UserError  # or why there are none

    @property
    def latent_dim(self) -> int:
        """Z, the length of a code."""
        return self.network.latent_dim

    @property
    def classes(self) -> int:
        """How many classes it can be asked for; 0 where it is not conditional."""
        return self.network.classes

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Their names in the order of their numbers; None where they are not known."""
        names = None if isinstance(self._priors, UserError) else self._priors.class_names
        return None if names is None else tuple(names)

    @property
    def headline(self) -> str | None:
        """The prior that `sample` draws from by itself; None where its file is not at hand."""
        if isinstance(self._priors, UserError):
            return None
        return "normal" if self._priors.headline == "prior" else self._priors.headline

    @property
    def priors(self) -> Priors:
        """What was fitted to its codes; UserError, which says why, where that is not at hand."""
        if isinstance(self._priors, UserError):
            raise self._priors.with_traceback(None)
        return self._priors

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return next(self.network.parameters()).device

    def sample(
        self, n: int, seed: int = 0, prior: str | None = None, label: Label = None,
        temperature: float = 1.0,
    ) -> NDArray[np.uint8]:  # fmt: skip
        """Draw `n` images; equal arguments give equal images.

        Args:
            seed: with that of the training, and as many images and the same labels as there, the
                images are those of data/samples/.
            prior: where codes are drawn from: `normal`, that is N(0, I), or `mixture` or `flow`,
                which `sample` fits to the codes of the training images. None takes the one that the
                variant is judged by, `headline`.
            label: one for all images, or `n` of them.
            temperature: factor of the normal noise that codes are made of, 0 or more; below 1 the
                images are more alike.

        Returns:
            uint8 (n, S, S, C)

        Raises:
            UserError: the prior is a fitted one, or None, and its file is missing, damaged or of
                other weights; or as for all methods.
        """
        count, start = whole("n", n, 1), whole("seed", seed, 0)
        heat = factor("temperature", temperature)
        name, density = self._density(prior)
        labels = self._labels(label, count)
        with torch.no_grad(), borrowed(str(self.device)):
            if density is None:
                codes = heat * prior_noise(self.network, count, start)
            else:  # by the generator of the stage `sample`
                codes = density.sample(count, generator(start, name), labels, heat)
            return decode(self.network, codes, labels, _BATCH)

    def encode(self, images: Array, label: Label = None) -> Encoding[Array]:
        """The posterior of each image: float32 (N, Z) twice."""
        given = self._images(images)
        posterior = self._encoded(given, self._labels(label, len(given)))
        return Encoding(_like(images, posterior.mean), _like(images, posterior.log_var))

    def decode(self, codes: Array, label: Label = None) -> Array:
        """The image of each code, such as `encode(images).mean`; (N, Z) => images."""
        given = checked_codes("codes", codes, self.latent_dim)
        return self._decoded(as_codes(given), self._labels(label, len(given)), codes)

    def reconstruct(self, images: Array, label: Label = None) -> Array:
        """Each image decoded from its posterior mean, without noise."""
        given = self._images(images)
        labels = self._labels(label, len(given))
        return self._decoded(self._encoded(given, labels).mean, labels, images)

    def interpolate(
        self, start: Array, end: Array, steps: int = 8,
        path: Literal["linear", "spherical"] = "linear", label: Label = None,
    ) -> Array:  # fmt: skip
        """Decode even steps from the posterior mean of one image to that of another.

        Args:
            start: one image, without the axis N.
            end: another.
            steps: T, 2 or more, both ends included.
            path: `linear`, or `spherical`, which keeps the length of codes that are equally long.
            label: one class for both; there is nothing between two classes.

        Returns:
            T images.
        """
        count = whole("steps", steps, 2)
        one_of("path", path, PATHS)
        labels = self._labels(label, count)
        asked = None if labels is None else labels[:1]
        first, last = (
            self._encoded(self._images(image, name)[None], asked).mean[0].cpu()
            for name, image in (("start", start), ("end", end))
        )
        codes = interpolate(first, last, count, path)
        return self._decoded(codes, labels, start)

    def __repr__(self) -> str:
        shape = f"{self.image_size}x{self.image_size}x{self.channels}"
        classes = f", {self.classes} classes" if self.classes else ""
        return (
            f"TrainedVAE({str(self.folder)!r}: images {shape}, {self.latent_dim} latent dimensions"
            f"{classes}, prior {self.headline or 'unknown'}, {self.device})"
        )

    def _images(self, images: object, single: str = "") -> Given:
        where = single or "images"
        return checked_images(where, images, self.image_size, self.channels, bool(single))

    def _labels(self, label: Label, count: int) -> Tensor | None:
        return checked_labels(label, count, self.classes, self.class_names)

    def _density(self, prior: str | None) -> tuple[str, Density | None]:
        """The name of a prior, and its density, which for N(0, I) is None."""
        name = prior if prior is None else one_of("prior", prior, PRIORS)
        if name == "normal":
            return name, None
        try:
            priors = self.priors
        except UserError as error:
            fix = f"{error.fix}; or draw from N(0, I): prior='normal'"
            raise UserError(error.where, error.expected, error.found, fix) from None
        name = name or priors.headline
        fitted: dict[str, Density] = {"mixture": priors.mixture, "flow": priors.flow}
        return name, fitted.get(name)

    def _encoded(self, images: Given, labels: Tensor | None) -> Posterior:
        """The posteriors of images that are checked, on the device of the network."""
        parts = []
        with torch.no_grad(), borrowed(str(self.device)) as device:
            for part in _parts(len(images)):
                batch = as_batch(images, part).to(device)
                asked = None if labels is None else labels[part].to(device)
                parts.append(self.network.encoder(batch, asked))
        return Posterior(*(torch.cat(values) for values in zip(*parts, strict=True)))

    def _decoded(self, codes: Tensor, labels: Tensor | None, like: Array) -> Array:
        """The images of codes (N, Z), in the form of `like`."""
        with torch.no_grad(), borrowed(str(self.device)) as device:
            if not isinstance(like, Tensor):
                return decode(self.network, codes, labels, _BATCH)
            parts = []
            for part in _parts(len(codes)):
                asked = None if labels is None else labels[part].to(device)
                parts.append(self.network.decoder(codes[part].to(device), asked).to(like.device))
        return torch.cat(parts)


def load(path: str | os.PathLike[str], device: str | torch.device = "auto") -> TrainedVAE:
    """Load a trained VAE from its folder, such as `models/sharp/0`. Nothing in it can run code.

    Or from one that `sharpvae export` wrote, in the form safetensors or hub; or other weights of
    such a folder by their file, such as `models/sharp/0/best.safetensors`; or a checkpoint of a
    training that has not come to its end, `.checkpoints/<training>/<update>-<digest>.pt`.

    The mixture and the flow that were fitted to its codes are looked for in the same folder, then
    where the stage `sample` puts them: for `models/sharp/0` in `data/samples/sharp/0`, beside
    `models`. Where they are missing everything else works, `sample` with `prior="normal"` too.

    Args:
        device: auto, cpu, mps, cuda or cuda:<index>.

    Raises:
        UserError: there is no trained VAE, it is damaged, or the device is not there.
    """
    folder = expanded(path)
    if folder.is_file() and folder.suffix == ".pt":
        return _interrupted(folder, device)
    other = folder if folder.is_file() and folder.suffix == ".safetensors" else None
    folder = folder if other is None else folder.parent
    pairs = ((NETWORK, WEIGHTS), (HUB_NETWORK, HUB_WEIGHTS))
    names = next((pair for pair in pairs if (folder / pair[0]).is_file()), None)
    if names is None:
        raise _no_model(folder)
    file, weights = folder / names[0], other or folder / names[1]
    described = load_artefact(file, Described)
    # Layers draw first weights as they are made: not from the generator of the caller.
    with torch.no_grad(), borrowed(str(device)) as place, global_seed(0, "load"):
        network = built(described, file, weights).to(place).eval()
        priors = _priors_of(folder, network)
    return TrainedVAE(folder, network, described.image_size, described.image_channels, priors)


def _interrupted(path: Path, device: str | torch.device) -> TrainedVAE:
    with torch.no_grad(), borrowed(str(device)) as place, global_seed(0, "load"):
        vae, card = from_checkpoint(path)
        network = vae.to(place).eval()
    found, fix = "a training that has not come to its end", "go on with it: dvc repro"
    none = UserError(str(path), "priors, which `sample` fits after training", found, fix)
    return TrainedVAE(path.parent, network, card.image_size, card.channels, none)


def _no_model(folder: Path) -> UserError:
    """What stands at a path where there is no trained VAE, and where there are some."""
    found = f"no {NETWORK} in it" if folder.is_dir() else "no such folder"
    if folder.is_file():
        found, inside = "a file", [folder.parent / NETWORK]
    else:
        inside = sorted([*folder.glob(f"*/{NETWORK}"), *folder.glob(f"*/*/{NETWORK}")])
    near = [str(file.parent) for file in inside if file.is_file()][:5]
    fix = f"name such a folder: {', '.join(near)}" if near else "train one: dvc repro"
    expected = "the folder of a trained VAE, models/<variant>/<seed>"
    if (folder / SUMMARY).is_file() and is_given(read_json(folder / SUMMARY)):
        found, fix = "nothing was trained: its images were made elsewhere", "name another variant"
    return UserError(str(folder), expected, found, fix)


def _priors_of(folder: Path, network: VAE) -> Priors | UserError:
    """What was fitted to the codes of a VAE, or why that is not at hand."""
    place = Path(os.path.abspath(folder))  # not resolved: a link's place counts, not its target's
    file = place / FILE
    if not file.is_file() and place.parent.parent.name == "models":
        file = place.parents[2] / "data/samples" / place.parent.name / place.name / FILE
    try:
        return load_priors(file, network)
    except UserError as error:
        return error


def _like(given: Array, values: Tensor) -> Array:
    """Values in the form of `given`: NumPy's, or PyTorch's on the same device."""
    if isinstance(given, Tensor):
        return values.to(given.device)
    return np.asarray(values.cpu().numpy())


def _parts(count: int) -> list[slice]:
    return [slice(start, start + _BATCH) for start in range(0, count, _BATCH)]
