"""Whether a network of the user's own keeps its contract, tried on two images before training.

What docs/networks.md asks for, in its order: a mistake that is found here costs a second, and one
that is not may cost a training.
"""

from __future__ import annotations

import copy
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import generator, global_seed
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.own import explained
from sharpvae.vae.reference import where
from sharpvae.vae.vae import VAE, asked

_IMAGES = 2
_RTOL, _ATOL = 1e-2, 1e-3  # of numbers that other kernels may have rounded


def check(
    config: ModelConfig, image_channels: int, image_size: int, classes: int, device: torch.device
) -> None:
    """Try the network of `config` on `device`; our families need no trial.

    Raises:
        UserError: it breaks the contract, or its code raises.
    """
    if not config.own:
        return
    made: list[VAE] = []
    for _ in range(2):
        with global_seed(0, "contract"), explained(config.family, f"a network for {device}"):
            made.append(VAE(config, image_channels, image_size, classes).to(device))
    shape = image_channels, image_size, image_size
    trial = _Trial(config.family, shape, made[0], device)
    trial.weights(made[1])
    trial.encoding()
    trial.decoding()
    trial.learning()


class _Trial:
    """One network, and what it is shown."""

    def __init__(
        self, family: str, shape: tuple[int, int, int], vae: VAE, device: torch.device
    ) -> None:
        self.family, self.shape, self.vae = family, shape, vae
        self.network: Any = vae.network
        random = generator(0, "contract")
        self.images = torch.rand(_IMAGES, *shape, generator=random).to(device)
        self.latents = torch.randn(_IMAGES, vae.latent_dim, generator=random).to(device)
        self.labels = torch.arange(_IMAGES, device=device)

    def _refuse(self, expected: str, found: str, fix: str = "see docs/networks.md") -> NoReturn:
        raise UserError(where(self.family), expected, found, fix)

    def weights(self, twin: VAE) -> None:
        """There are some that learn, as tensors of fixed shape, the same again from one seed."""
        learning = [weight for weight in self.network.parameters() if weight.requires_grad]
        if not learning:
            found = "none that requires a gradient" if [*self.network.parameters()] else "none"
            self._refuse("parameters to train", found, "assign layers to self in __init__")
        state: dict[str, Any] = self.network.state_dict()
        again: dict[str, Any] = twin.network.state_dict()
        names: dict[int, str] = {}  # by where in memory a tensor is
        for name, value in state.items():
            if is_lazy(value) or not isinstance(value, Tensor):
                found = f"{name} is {'lazy' if is_lazy(value) else _seen(value)}"
                self._refuse("a state_dict of tensors whose shapes are known", found)
            if not torch.equal(value, again[name]):
                expected = "the same weights whenever PyTorch's generator has the same seed"
                self._refuse(expected, f"{name} differs", "draw them by torch alone")
            other = names.setdefault(value.data_ptr(), name) if value.numel() else name
            if other != name:
                fix = "register one of them, and use it twice in encode or decode"
                self._refuse("one name for each tensor", f"{other} and {name} are one", fix)
        with explained(self.family, "a network that copy.deepcopy takes, for train.ema"):
            copy.deepcopy(self.vae)

    @torch.no_grad()
    def encoding(self) -> None:
        """`encode`, in evaluation mode."""
        self.vae.eval()
        self._repeatable("encode", self.images, self.vae.latent_dim)

    @torch.no_grad()
    def decoding(self) -> None:
        """`decode`, in evaluation mode."""
        self.vae.eval()
        (images,) = self._repeatable("decode", self.latents, *self.shape)
        low, high = float(images.min()), float(images.max())
        if low < 0 or high > 1:
            found = f"from {low:.3g} to {high:.3g}"
            self._refuse("images in [0, 1] from decode", found, "end it with a sigmoid, in float32")

    def _repeatable(self, method: str, given: Tensor, *size: int) -> list[Tensor]:
        """What a method returns, which must depend on nothing but the image or code itself."""
        before = given.clone()
        found = self._called(method, given, *size)
        if not torch.equal(given, before):
            self._refuse(f"{method} to leave what it is given as it is", "it changes it in place")
        again = self._called(method, given, *size)
        if not all(map(torch.equal, found, again)):
            expected = f"{method} to return the same again in evaluation mode"
            fix = "leave noise to the VAE, which draws it, and use dropout as a module"
            self._refuse(expected, "another result of the same input", fix)
        alone = self._called(method, given[:1], *size)
        pairs = zip(alone, found, strict=True)
        if not all(torch.allclose(one, two[:1], _RTOL, _ATOL) for one, two in pairs):
            expected = f"{method} to return the same of one input alone, in evaluation mode"
            self._refuse(expected, "it depends on what else is in the batch")
        return found

    def _called(self, method: str, given: Tensor, *size: int) -> list[Tensor]:
        """The tensors that a method returns, once they are what they must be."""
        inputs = [given, *asked(self.labels[: len(given)], self.vae.classes)]
        with explained(self.family, f"{method}({', '.join(map(_seen, inputs))}) to work"):
            found = getattr(self.network, method)(*inputs)
        wanted, names, values = f"float32 {[len(given), *size]}", ["images"], [found]
        if method == "encode":
            if not isinstance(found, tuple | list) or len(found) != 2:
                self._refuse(f"(mean, log_var) from encode, {wanted} each", _seen(found))
            names, values = ["mean", "log_var"], list(found)
        for name, value in zip(names, values, strict=True):
            if _seen(value) != wanted:
                self._refuse(f"{name} from {method}: {wanted}", _seen(value))
            if not torch.isfinite(value).all():
                self._refuse(f"finite numbers as {name} from {method}", "nan or infinity")
            if value.device != given.device:
                self._refuse(f"{name} from {method} on {given.device}", f"on {value.device}")
        return values

    def learning(self) -> None:
        """Gradients arrive, in training mode; and the layer that draws the pixels is found."""
        self.vae.train()
        labels = self.labels if self.vae.classes else None
        with explained(self.family, "a pass forwards and backwards in training mode"):
            with global_seed(0, "contract"):
                images, posterior = self.vae(self.images, self.latents, labels)
            (images.sum() + posterior.mean.sum() + posterior.log_var.sum()).backward()
        for name, weight in self.network.named_parameters():
            if weight.requires_grad and weight.grad is None:
                fix = "remove it, or call requires_grad_(False) on it"
                self._refuse("a use for every parameter", f"no gradient reaches {name}", fix)
            if weight.grad is not None and not torch.isfinite(weight.grad).all():
                self._refuse("finite gradients", f"nan or infinity at {name}")
        with explained(self.family, "images that depend on a weight of two dimensions or more"):
            _ = self.vae.decoder.last_weight


def _seen(value: Any) -> str:
    """What something is, as messages say it."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    return "nothing" if value is None else f"a {type(value).__name__}"
