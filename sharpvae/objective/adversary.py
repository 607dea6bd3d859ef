"""What an adversarial term trains against: the discriminator's losses and its optimiser."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpvae.distributed import processes
from sharpvae.objective.config import AdversarialConfig
from sharpvae.objective.discriminator import Discriminator

Kind = Literal["hinge", "bce"]
BETAS = (0.5, 0.9)  # of Adam: the shorter memory that moving targets want
LAZY_BETAS = (0.0, 0.99)  # StyleGAN2's: a memory that outlasts the updates between two penalties
_SHORTEST = 1e-3  # length of a vector of features that counts as none
_LARGEST_WEIGHT = 1e4
_LEAST_GRADIENT = 1e-4


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


def adaptive_weight(
    images: Tensor, reconstruction: Tensor, adversarial: Tensor, last_weight: Tensor
) -> Tensor:
    """The weight at which both losses have equal gradients at the layer that draws the pixels.

    |grad reconstruction| / (|grad adversarial| + 1e-4), at most 1e4 (Esser et al. 2021, Taming
    transformers, eq. 7).

    Args:
        images: what that layer drew, whose graph is kept; each process's own.
        reconstruction, adversarial: gradients of the losses at these images, of the same shape; the
            gradients compared are those of the means over the processes.
        last_weight: parameter that the images depend on.

    Returns:
        A scalar without gradient.
    """
    one, other = (
        processes.all_reduce_mean(
            torch.autograd.grad(images, last_weight, pull, retain_graph=True)[0]
        )
        for pull in (reconstruction, adversarial)
    )
    return (one.norm() / (other.norm() + _LEAST_GRADIENT)).clamp(max=_LARGEST_WEIGHT).detach()


def r1(images: Tensor, logits: Sequence[Tensor]) -> Tensor:
    """|d D / d x|^2, mean over images: times gamma / 2 it is R1.

    Mescheder et al. 2018, Which training methods for GANs do actually converge?, eq. 9. D is the
    mean logit of each head, averaged over heads; x are pixels in [-1, 1], as StyleGAN's, so that
    its gammas can be compared.

    Args:
        images: float (B, C, H, W) in [0, 1], with gradient.
        logits: of these images, (B, P) a head.

    Returns:
        A scalar, whose gradient reaches the weights.
    """
    scores = torch.stack([head.mean(1) for head in logits]).mean(0)
    (gradient,) = torch.autograd.grad(scores.sum(), images, create_graph=True)
    return (gradient / 2).square().flatten(1).sum(1).mean()


class Adversary:
    """Scores images, and learns to distinguish reals from fakes; in full precision.

    Args:
        discriminator: on the device of the images.
        config: the `loss.adversarial` section.
        pixels: D = height * width * channels; scales the terms to an error summed over pixels.
    """

    def __init__(
        self, discriminator: Discriminator, config: AdversarialConfig, pixels: int
    ) -> None:
        self.discriminator = discriminator.to(memory_format=torch.channels_last)
        self.config, self.pixels = config, pixels
        betas = BETAS if config.r1 == 0 else LAZY_BETAS
        self.optimizer = torch.optim.Adam(
            discriminator.parameters(), lr=config.lr, betas=betas, fused=True
        )

    def term(self, fakes: Tensor) -> Tensor:
        """What each fake costs the decoder, D times the mean over patches and over heads.

        float (B, C, H, W) in [0, 1] => (B,)
        """
        self.discriminator.requires_grad_(False)  # its gradients would be thrown away
        losses = [deception(self.config.loss, head) for head in self._logits(fakes)]
        self.discriminator.requires_grad_(True)
        return self.pixels * torch.stack(losses).mean(0)

    def matching(self, images: Tensor, reconstructions: Tensor) -> Tensor:
        """How far the discriminator's features of a reconstruction are from those of its image.

        D times the squared distance of the vectors of channels, mean over positions and over the
        layers of the trunk: a Gaussian observation of the discriminator's features (Larsen et al.
        2016, Autoencoding beyond pixels, eq. 7), of all layers and at length 1, so that it does
        not grow with the discriminator's weights. In [0, 4 D]; the discriminator gets no gradient.

        (B, C, H, W) twice, in [0, 1] => (B,)
        """
        self.discriminator.requires_grad_(False)

        def unit_vectors(shown: Tensor) -> list[Tensor]:
            maps = self.discriminator.maps(shown)
            return [F.normalize(layer, dim=1, eps=_SHORTEST) for layer in maps]

        with torch.no_grad():
            targets = unit_vectors(images)
        pairs = zip(targets, unit_vectors(reconstructions), strict=True)
        layers = [(one - other).square().sum(1).mean((1, 2)) for one, other in pairs]
        self.discriminator.requires_grad_(True)
        return self.pixels * torch.stack(layers).mean(0)

    def backward(
        self, reals: Sequence[Tensor], fakes: Sequence[Sequence[Tensor]], step: int
    ) -> dict[str, Tensor]:
        """Set the gradient of the discriminator, over all processes.

        Args:
            reals: float (B, C, H, W), pieces of equal size.
            fakes: of each piece, those of each kind, B of them; detached here.
            step: updates done so far; R1 is added, `r1_every` times as strong, where `r1_every`
                divides it (lazily: Karras et al. 2020, Analyzing and improving StyleGAN, app. B).

        Returns:
            Before the step: `discriminator`, its loss without the penalty, and `r1` where due.
        """
        config = self.config
        penalised = config.r1 > 0 and step % config.r1_every == 0
        self.optimizer.zero_grad(set_to_none=True)
        found: list[dict[str, Tensor]] = []
        for real, kinds in zip(reals, fakes, strict=True):
            real = real.detach().requires_grad_(penalised)
            # One after the other: neither batch norm nor the deviation over the minibatch may tell
            # them apart by what they share a batch with.
            real_heads = self._logits(real)
            fake_heads = zip(*(self._logits(fake.detach()) for fake in kinds), strict=True)
            losses = [
                discrimination(config.loss, head, torch.cat(others))
                for head, others in zip(real_heads, fake_heads, strict=True)
            ]
            loss = torch.stack(losses).mean()
            terms = {"discriminator": loss}
            if penalised:
                terms["r1"] = r1(real, real_heads)
                loss = loss + config.r1 / 2 * config.r1_every * terms["r1"]
            (loss / len(reals)).backward()
            found.append({name: term.detach() for name, term in terms.items()})
        weights = self.discriminator.parameters()
        processes.average_gradients(w.grad for w in weights if w.grad is not None)
        return {name: torch.stack([some[name] for some in found]).mean() for name in found[0]}

    def _logits(self, images: Tensor) -> list[Tensor]:
        """(B, C, H, W) => float32 (B, P) a head"""
        return [head.float() for head in self.discriminator(images)]

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
