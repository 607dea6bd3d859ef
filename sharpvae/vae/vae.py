"""Encoder, decoder and the VAE they make (Kingma & Welling 2014)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import torch
from pydantic import Field
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from sharpvae.core.artefacts import Artefact, load_artefact
from sharpvae.core.config import MOST_UNITS
from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.core.weights import load_weights, save_weights
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.layers import (
    conv_decoder,
    conv_encoder,
    initialise,
    mlp_decoder,
    mlp_encoder,
    weighted,
)
from sharpvae.vae.own import make, nearest_weight, require_code
from sharpvae.vae.reference import digest

_LARGEST = 1 << 14  # pixels of a side


class Posterior(NamedTuple):
    """The diagonal Gaussian q(z|x) = N(mean, exp(log_var))."""

    mean: Tensor  # (B, Z)
    log_var: Tensor  # (B, Z)

    def sample(self, noise: Tensor) -> Tensor:
        """Reparameterised draw for standard normal `noise`.  (B, Z) => (B, Z)"""
        return self.mean + torch.exp(0.5 * self.log_var) * noise


def kl_per_dimension(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) || N(0, 1)) in nats (Kingma & Welling 2014, appendix B).

    (B, Z) twice => (B, Z)
    """
    return 0.5 * (mean.square() + torch.exp(log_var) - 1 - log_var)


class Encoder(nn.Module):
    """Images in [0, 1] => posterior.

    A conditional one gets the class (Sohn et al. 2015, Learning structured output
    representation) as a one-hot channel a class, an MLP as a one-hot input a class.
    """

    def __init__(
        self, config: ModelConfig, image_channels: int, image_size: int, classes: int = 0
    ) -> None:
        super().__init__()
        self.classes, self.flat = classes, config.family == "mlp"
        self.lowest, self.highest = config.log_var_clamp
        if self.flat:
            pixels = image_channels * image_size * image_size
            self.body, features = mlp_encoder(config, pixels + classes)
        else:
            channels = image_channels + classes
            self.body, features = conv_encoder(config, channels, image_size)
        self.mean = nn.Linear(features, config.latent_dim)
        self.log_var = nn.Linear(features, config.latent_dim)
        initialise(config, [self.body], [self.mean, self.log_var])

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Posterior:
        """float32 (B, C, H, W) in [0, 1], int64 (B,) => Posterior of (B, Z); labels as in `VAE`"""
        inputs = images.flatten(1) if self.flat else images
        if self.classes:
            classes = one_hot(labels, self.classes)
            if not self.flat:
                classes = classes[:, :, None, None].expand(-1, -1, *images.shape[2:])
            inputs = torch.cat([inputs, classes], 1)
        features = self.body(inputs)
        log_var = self.log_var(features).clamp(self.lowest, self.highest)
        return Posterior(self.mean(features), log_var)


class Decoder(nn.Module):
    """Latents => images in [0, 1]; a conditional one takes the one-hot class beside the latents."""

    def __init__(
        self, config: ModelConfig, image_channels: int, image_size: int, classes: int = 0
    ) -> None:
        super().__init__()
        self.classes = classes
        decoder_parts = mlp_decoder if config.family == "mlp" else conv_decoder
        parts = decoder_parts(config, config.latent_dim + classes, image_channels, image_size)
        self.stem, self.head, self.body = parts.stem, parts.head, parts.body
        initialise(config, [self.stem, self.body], [self.head])

    @property
    def last_weight(self) -> Tensor:
        """The weight of the layer that draws the pixels; see `objective.adaptive_weight`."""
        return weighted([self.head])[-1].weight

    def forward(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """float32 (B, Z), int64 (B,) => float32 (B, C, H, W) in [0, 1]; labels as in `VAE`"""
        if self.classes:
            latents = torch.cat([latents, one_hot(labels, self.classes)], 1)
        # In full precision: bf16 rounds 0.9985 and all above to 1, where no gradient is left.
        return torch.sigmoid(self.head(self.body(self.stem(latents))).float())


class OwnEncoder:
    """What `Encoder` does, by the `encode` of a network of the user's own.

    It is no module, nor is `OwnDecoder`: both share one network, which the VAE holds.
    """

    def __init__(self, network: Any, config: ModelConfig, classes: int) -> None:
        self.network, self.classes = network, classes
        self.lowest, self.highest = config.log_var_clamp

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Posterior:
        """As `Encoder.forward`."""
        # Its own order of memory, as `view` does not take that of a batch, which is channels last.
        mean, log_var = self.network.encode(images.contiguous(), *asked(labels, self.classes))
        return Posterior(mean, log_var.clamp(self.lowest, self.highest))


class OwnDecoder:
    """What `Decoder` does, by the `decode` of a network of the user's own."""

    def __init__(self, network: Any, config: ModelConfig, classes: int) -> None:
        self.network, self.classes, self.latent_dim = network, classes, config.latent_dim
        self._last = ""  # name of the last weight, once that was asked for

    @property
    def last_weight(self) -> Tensor:
        """As `Decoder.last_weight`: that of the last layer that images pass."""
        if not self._last:
            weights = {weight: name for name, weight in self.network.named_parameters()}
            training = self.network.training
            self.network.eval()
            latents = next(iter(weights)).new_zeros(1, self.latent_dim)
            with torch.enable_grad():
                drawn = self(latents, latents.new_zeros(1, dtype=torch.int64))
            self.network.train(training)
            self._last = weights[nearest_weight(drawn)]
        found: Tensor = self.network.get_parameter(self._last)
        return found

    def __call__(self, latents: Tensor, labels: Tensor | None = None) -> Tensor:
        """As `Decoder.forward`."""
        images: Tensor = self.network.decode(latents, *asked(labels, self.classes))
        return images


class VAE(nn.Module):
    """A variational autoencoder with a standard normal prior, conditional where config says so.

    Its network is one of our families, `encoder` and `decoder`; or the user's own, `network`, in
    their place.

    Args:
        config: the `model` section.
        image_channels: 1 or 3.
        image_size: height and width in pixels, a multiple of `config.stride`.
        classes: number of classes; only a conditional VAE uses it.

    Attributes:
        latent_dim: Z.
        classes: as above; 0 for an unconditional VAE, which ignores the labels it is given.
        own: whether the network is the user's own.
        code: digest of its code; None for our families.

    Raises:
        ValueError: the size is no such multiple, or a conditional VAE has fewer than two classes.
            Called without labels, a conditional VAE raises it too.
        UserError: the network of the user's own cannot be loaded or built.
    """

    encoder: Encoder | OwnEncoder
    decoder: Decoder | OwnDecoder

    def __init__(
        self, config: ModelConfig, image_channels: int, image_size: int, classes: int = 0
    ) -> None:
        super().__init__()
        if config.conditional and classes < 2:
            raise ValueError(f"a conditional VAE needs at least two classes, not {classes}")
        if image_size % config.stride:
            raise ValueError(f"image size {image_size} is no multiple of {config.stride}")
        self.latent_dim = config.latent_dim
        self.classes, self.own = classes if config.conditional else 0, config.own
        self.code = digest(config.family) if self.own else None
        if self.own:
            self.network = make(config, image_channels, image_size, self.classes)
            self.encoder = OwnEncoder(self.network, config, self.classes)
            self.decoder = OwnDecoder(self.network, config, self.classes)
        else:
            self.encoder = Encoder(config, image_channels, image_size, self.classes)
            self.decoder = Decoder(config, image_channels, image_size, self.classes)

    def forward(
        self,
        images: Tensor,
        noise: Tensor,
        labels: Tensor | None = None,
        codes: Tensor | None = None,
    ) -> tuple[Tensor, Posterior]:
        """Reconstruct through one posterior draw.

        Args:
            images: float32 (B, C, H, W) in [0, 1].
            noise: standard normal (B, Z).
            labels: int64 (B,) in 0..classes-1; None for an unconditional VAE.
            codes: further latents (B, Z) of the same classes, decoded in the same pass: batch norm
                normalises both together.

        Returns:
            Reconstructions float32 (B, C, H, W) in [0, 1], behind them the images of `codes`, and
            the posterior.
        """
        posterior = self.encoder(images, labels)
        latents = posterior.sample(noise)
        if codes is not None:
            latents = torch.cat([latents, codes])
            labels = None if labels is None else torch.cat([labels, labels])
        return self.decoder(latents, labels), posterior


def asked(labels: Tensor | None, classes: int) -> tuple[Tensor, ...]:
    """What a network of the user's own is given beside images or latents: labels, or nothing.

    Raises:
        ValueError: `classes` is above 0, and there are no labels.
    """
    if not classes:
        return ()
    if labels is None:
        raise ValueError("a conditional VAE needs the labels of its images")
    return (labels,)


def one_hot(labels: Tensor | None, classes: int) -> Tensor:
    """int64 (B,) in 0..classes-1 => float32 (B, classes)

    Raises:
        ValueError: no labels.
    """
    (given,) = asked(labels, classes)
    return functional.one_hot(given, classes).float()


class Described(Artefact):
    """network.json: what a VAE is built from."""

    image_channels: Literal[1, 3]
    image_size: Annotated[int, Field(ge=1, le=_LARGEST)]
    classes: Annotated[int, Field(ge=0, le=MOST_UNITS)]
    model: ModelConfig
    code: str | None = None  # digest of that of a network of the user's own


def save_vae(directory: Path, vae: VAE, config: ModelConfig, channels: int, size: int) -> None:
    """Write `weights.safetensors` and `network.json` into `directory`."""
    save_weights(directory / "weights.safetensors", vae)
    description = {
        "image_channels": channels,
        "image_size": size,
        "classes": vae.classes,
        "model": config.model_dump(),
    }
    if vae.own:
        description["code"] = vae.code
    write_json(directory / "network.json", description)


def load_vae(directory: Path, device: torch.device) -> VAE:
    """Read what `save_vae` wrote; the VAE comes in evaluation mode on `device`.

    The files bring numbers and settings, never code. A network of the user's own is built by the
    code that stands where `model.family` says, in the working directory or an installed package.

    Raises:
        UserError: a file is missing or damaged, or that code is not what the VAE was trained with.
    """
    place, weights = directory / "network.json", directory / "weights.safetensors"
    return built(load_artefact(place, Described), place, weights).to(device).eval()


def built(described: Described, place: Path, weights: Path) -> VAE:
    """The VAE that was read from `place`, with its weights.

    Raises:
        UserError: the weights are missing, damaged or of another network; or as `load_vae`.
    """
    config = described.model
    shape = described.image_channels, described.image_size, described.classes
    if config.own:  # imported only where it is the code that the weights were trained with
        fix = "bring that code back, or train anew: dvc repro"
        require_code(config.family, described.code, str(place), fix)
    try:
        if not config.own:
            _require_fit(config, shape, place, weights)
        vae = VAE(config, *shape)
    except (ValueError, OverflowError) as error:
        expected, fix = "the description of a VAE, as `train` writes it", "dvc repro train"
        raise UserError(str(place), expected, str(error), f"write it anew: {fix}") from None
    load_weights(weights, vae)
    return vae


def _require_fit(
    config: ModelConfig, shape: tuple[int, int, int], place: Path, weights: Path
) -> None:
    """UserError where weights are of another network, before that takes up any memory."""
    # Its weights have no values, so nothing has to be drawn: a normal draw of none would import
    # the compiler, for over a second.
    undrawn = config.model_copy(update={"init": "default"})
    with torch.device("meta"):
        state = VAE(undrawn, *shape).state_dict()
    try:
        with safe_open(weights, "pt") as opened:
            names = opened.keys()
            found = {name: opened.get_slice(name).get_shape() for name in names}
    except (SafetensorError, OSError):
        return  # which `load_weights` tells
    for name, wanted in state.items():
        if found.get(name) != list(wanted.shape):
            expected = f"the weights that {place} describes: {name} of shape {list(wanted.shape)}"
            told = "no such weights" if name not in found else f"shape {found[name]}"
            raise UserError(str(weights), expected, told, "write both anew: dvc repro train")
