"""The discriminator, its losses and its optimiser: what an adversarial term trains against."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from sharpvae.distributed import processes
from sharpvae.objective.config import AdversarialConfig
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.layers import norm_2d

Norm = Literal["none", "batch", "group", "spectral"]
Kind = Literal["hinge", "bce"]
SLOPE = 0.2  # of leaky_relu, as in Isola et al.
BETAS = (0.5, 0.9)  # of Adam: the shorter memory that moving targets want
_LARGEST_WEIGHT = 1e4
_LEAST_GRADIENT = 1e-4


class PatchDiscriminator(nn.Module):
    """A PatchGAN: one logit a patch (Isola et al. 2017, Image-to-image translation, section 3.2.2).

    The layout is document 003's: a 3x3 convolution, one of stride 2 for each width between the
    first and the last, a 3x3 one to the last width, and a 1x1 one to the logit. Four widths with
    kernel 4 see patches of 20 x 20 pixels and give a logit for every 4 x 4. Weights start as
    PyTorch draws them.

    Args:
        image_channels: 1 or 3.
        widths: channels of each convolution, outermost first; each between the first and the last
            halves height and width.
        kernel: of the convolutions of stride 2, 3 or 4.
        norm: of every convolution but the first and the one to the logit; `spectral` divides the
            weights of all of them by their largest singular value (Miyato et al. 2018).
        activation: `leaky_relu` of slope 0.2, or `silu`.
    """

    def __init__(
        self,
        image_channels: int,
        widths: Sequence[int],
        kernel: Literal[3, 4] = 4,
        norm: Norm = "batch",
        activation: Literal["leaky_relu", "silu"] = "leaky_relu",
    ) -> None:
        super().__init__()
        inputs, blocks = image_channels, []
        for position, width in enumerate(widths):
            strided = 0 < position < len(widths) - 1
            norms = [] if position == 0 else norm_2d(norm, width)
            conv = nn.Conv2d(
                inputs, width, kernel if strided else 3,
                stride=2 if strided else 1, padding=1, bias=not norms,
            )  # fmt: skip
            nonlinear = nn.SiLU() if activation == "silu" else nn.LeakyReLU(SLOPE)
            blocks.append(nn.Sequential(_spectral(norm, conv), *norms, nonlinear))
            inputs = width
        self.body = nn.Sequential(*blocks)
        self.head = _spectral(norm, nn.Conv2d(inputs, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """float32 (B, C, H, W) in [0, 1] => logits (B, h, w), above 0 where a patch looks real

        h and w are H and W, halved once a strided convolution.
        """
        return self.head(self.body(images * 2 - 1)).squeeze(1)


def configured(
    loss: AdversarialConfig, model: ModelConfig, image_channels: int
) -> PatchDiscriminator:
    """The discriminator that `loss.adversarial` describes, its widths scaled as the VAE's are."""
    return PatchDiscriminator(
        image_channels, model.scaled(loss.widths), norm=loss.norm, activation=loss.activation
    )


def _spectral(norm: Norm, conv: nn.Conv2d) -> nn.Module:
    return spectral_norm(conv) if norm == "spectral" else conv


def deception(kind: Kind, fake: Tensor) -> Tensor:
    """The decoder's loss on its fakes, mean over patches.

    `hinge`: -logit (Lim & Ye 2017). `bce`: -log sigmoid(logit), the non-saturating loss of
    Goodfellow et al. 2014.  (B, P) => (B,)
    """
    return (-fake if kind == "hinge" else F.softplus(-fake)).mean(1)


def discrimination(kind: Kind, real: Tensor, fake: Tensor) -> Tensor:
    """The discriminator's loss, mean over images and patches.

    `hinge`: (max(0, 1 - real) + max(0, 1 + fake)) / 2. `bce`: the mean cross-entropy of both.
    Where every logit is 0 it is 1 or log 2.  (B, P), (B', P) => scalar
    """
    if kind == "hinge":
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last_weight: Tensor) -> Tensor:
    """The weight at which both losses have equal gradients at the layer that draws the pixels.

    |grad reconstruction| / (|grad adversarial| + 1e-4), at most 1e4 (Esser et al. 2021, Taming
    transformers, eq. 7).

    Args:
        reconstruction, adversarial: scalars whose graphs are kept, each process's own; the
            gradients are those of their means over the processes.
        last_weight: parameter that both depend on.

    Returns:
        A scalar without gradient.
    """
    (one,) = torch.autograd.grad(reconstruction, last_weight, retain_graph=True)
    (other,) = torch.autograd.grad(adversarial, last_weight, retain_graph=True)
    one, other = processes.all_reduce_mean(one), processes.all_reduce_mean(other)
    return (one.norm() / (other.norm() + _LEAST_GRADIENT)).clamp(max=_LARGEST_WEIGHT).detach()


class Adversary:
    """Scores images, and learns to distinguish reals from fakes.

    Args:
        discriminator: on the device of the images.
        config: the `loss.adversarial` section.
        pixels: D = height * width * channels; scales the term to an error summed over pixels.
    """

    def __init__(
        self, discriminator: PatchDiscriminator, config: AdversarialConfig, pixels: int
    ) -> None:
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.config, self.pixels = config, pixels
        self.optimizer = torch.optim.Adam(
            discriminator.parameters(), lr=config.lr, betas=BETAS, fused=True
        )

    def term(self, fakes: Tensor) -> Tensor:
        """What each fake costs the decoder, D times the mean over patches.

        float (B, C, H, W) in [0, 1] => (B,)
        """
        self.discriminator.requires_grad_(False)  # its gradients would be thrown away
        logits = self.discriminator(fakes).float().flatten(1)
        self.discriminator.requires_grad_(True)
        return self.pixels * deception(self.config.loss, logits)

    def backward(self, reals: Sequence[Tensor], fakes: Sequence[Tensor]) -> Tensor:
        """Set the gradient of the discriminator, over all processes; its loss before the step.

        Args:
            reals, fakes: float (B, C, H, W) in [0, 1], pieces of equal size; detached here.
        """
        self.optimizer.zero_grad(set_to_none=True)
        losses = []
        for real, fake in zip(reals, fakes, strict=True):
            # One after the other: batch norm must not tell them apart by what they share a batch
            # with.
            real_logits = self.discriminator(real).float().flatten(1)
            fake_logits = self.discriminator(fake.detach()).float().flatten(1)
            loss = discrimination(self.config.loss, real_logits, fake_logits)
            (loss / len(reals) if len(reals) > 1 else loss).backward()
            losses.append(loss.detach())
        weights = self.discriminator.parameters()
        processes.average_gradients(w.grad for w in weights if w.grad is not None)
        return losses[0] if len(losses) == 1 else torch.stack(losses).mean()

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
