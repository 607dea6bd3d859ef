"""The densities fitted to a VAE's codes, on disk as safetensors, which cannot carry code."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file
from torch import nn

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import global_seed
from sharpvae.sampling.codes import Axes
from sharpvae.sampling.flow import Flow, Velocity
from sharpvae.sampling.mixture import Mixture
from sharpvae.vae.vae import VAE

FILE = "priors.safetensors"  # in the folder of what was drawn
HEADLINES = ("prior", "mixture", "flow")
_ROUNDING = 1e-6  # by which weights may miss a sum of 1, and axes an angle
_MOST = 1e12  # of any value: codes are float32, and products of such values have to be
_ABOUT = "about"  # one key: several would stand in the file in an order that changes


class Priors(NamedTuple):
    """What a VAE can draw codes from beside N(0, I); mixture and flow are of the same codes."""

    mixture: Mixture
    flow: Flow
    headline: str  # `prior`, that is N(0, I), `mixture` or `flow`: what the VAE is judged by
    class_names: list[str] | None  # label -> name; None where the VAE is not conditional


def save_priors(path: Path, priors: Priors, vae: nn.Module) -> None:
    """Write the priors of `vae`; the bytes depend on the values alone."""
    mixture, velocity = priors.mixture, priors.flow.velocity
    arrays: dict[str, NDArray[Any]] = {
        f"axes.{name}": value for name, value in mixture.axes._asdict().items()
    }
    kept = ("weights", "means", "factors")  # the rest follows from the axes
    arrays |= {f"mixture.{name}": getattr(mixture, name) for name in kept}
    about: dict[str, Any] = {
        "vae": digest(vae),
        "headline": priors.headline,
        "class_names": priors.class_names,
        "strong": priors.flow.strong,
        "velocity": None,
    }
    if velocity is not None:
        about["velocity"] = {"classes": velocity.classes, "width": velocity.last.in_features}
        state = velocity.state_dict()
        arrays |= {f"flow.{name}": value.numpy() for name, value in state.items()}
    # Contiguous, for `save_file` writes the memory of an array as it lies.
    contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    save_file(contiguous, path, {_ABOUT: json.dumps(about)})


def load_priors(path: Path, vae: VAE) -> Priors:
    """Read what `save_priors` wrote for `vae`.

    Raises:
        UserError: the file is missing or damaged, or belongs to other weights.
    """
    expected = "the mixture and the flow that `sample` fits to the codes of the VAE"
    fix = "fit them: dvc repro sample"
    try:
        with safe_open(path, "np") as file:
            about = json.loads(file.metadata()[_ABOUT])
        if about["vae"] != digest(vae):
            those = f"{expected}, by its weights.safetensors"
            found = "those of other weights: one of the two is damaged, or was replaced"
            raise UserError(str(path), those, found, "bring both back: dvc repro")
        # A copy: what is read lies in a map of the file, which cannot be written to.
        arrays = {name: np.array(value) for name, value in load_file(path).items()}
        priors = _assembled(arrays, about)
        _require_sound(priors, vae.latent_dim, vae.classes)
    except FileNotFoundError:
        raise UserError(str(path), expected, "no such file", fix) from None
    except (SafetensorError, LookupError, TypeError, ValueError, RuntimeError, OSError) as error:
        found = f"damaged: {' '.join(str(error).split())[:200]}"
        raise UserError(str(path), expected, found, fix) from None
    return priors


def _assembled(arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> Priors:
    parts: dict[str, dict[str, NDArray[Any]]] = {"axes": {}, "mixture": {}, "flow": {}}
    for name, value in arrays.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = value
    axes, strong = Axes(**parts["axes"]), int(about["strong"])
    modelled = parts["mixture"]["means"].shape[1]
    mixture = Mixture(axes, rest=axes.rest(modelled), **parts["mixture"])
    velocity, sizes = None, about["velocity"]
    if sizes is not None:
        found = parts["flow"]["second.weight"].shape
        if found != (sizes["width"], sizes["width"]):  # or a size would take up all memory
            raise ValueError(f"a flow of width {sizes['width']}, with weights of shape {found}")
        with global_seed(0, "velocity"):  # the first weights, which are replaced
            velocity = Velocity(strong, sizes["classes"], sizes["width"])
        state = {name: torch.from_numpy(value) for name, value in parts["flow"].items()}
        velocity.load_state_dict(state)
        velocity.requires_grad_(False)
    return Priors(mixture, Flow(axes, strong, velocity), about["headline"], about["class_names"])


def _require_sound(priors: Priors, latent_dim: int, classes: int) -> None:
    """ValueError unless all sizes fit each other, and all values are such as a density can have."""
    (axes, weights, means, _, _), flow = priors.mixture, priors.flow
    _require_shapes(priors.mixture, latent_dim)
    if not (0 < means.shape[1] <= latent_dim and 0 < flow.strong <= latent_dim):
        raise ValueError(f"{means.shape[1]} and {flow.strong} axes of {latent_dim}")
    if weights.min() < 0 or abs(weights.sum() - 1) > _ROUNDING:
        raise ValueError("the weights of the mixture do not add up to 1")
    if axes.noise.min() <= 0 or axes.signal.min() < 0:
        raise ValueError("a negative variance")
    if not np.allclose(axes.directions.T @ axes.directions, np.eye(latent_dim), atol=_ROUNDING):
        raise ValueError("axes that are not at right angles, or not of length 1")
    if flow.velocity is not None:
        if not all(values.isfinite().all() for values in flow.velocity.state_dict().values()):
            raise ValueError("the flow has values that are not finite")
        if flow.velocity.classes not in (0, classes):
            raise ValueError(f"a flow of {flow.velocity.classes} classes, not {classes}")
    if priors.headline not in HEADLINES:
        raise ValueError(f"the headline {priors.headline!r}, not one of {', '.join(HEADLINES)}")
    names: object = priors.class_names
    if not (names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names))):
        raise ValueError("names of classes that are no list of texts")


def _require_shapes(mixture: Mixture, latent_dim: int) -> None:
    """ValueError unless the axes are of codes of `latent_dim`, and the mixture of the axes."""
    (count, strong), axes = mixture.means.shape, mixture.axes
    expected = [
        (axes.centre, (latent_dim,)), (axes.noise, (latent_dim,)), (axes.signal, (latent_dim,)),
        (axes.directions, (latent_dim, latent_dim)), (mixture.weights, (count,)),
        (mixture.means, (count, strong)), (mixture.factors, (count, strong, strong)),
    ]  # fmt: skip
    for values, shape in expected:
        sized = values.shape == shape and values.dtype == np.float64
        if not (sized and (np.abs(values) < _MOST).all()):
            told = f"finite float64 {shape}, below {_MOST:g}"
            raise ValueError(f"{values.dtype} of {values.shape} instead of {told}")


def digest(network: nn.Module) -> str:
    """The SHA-256 of the names and values of all weights, on any device."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode())
        found.update(value.cpu().numpy().tobytes())
    return found.hexdigest()
