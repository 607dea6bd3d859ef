"""Losses of the discriminator and of the decoder that is to deceive it.

Logits are `[B, P]`: one verdict for each of P patches, positive for "real" (Isola et al. 2017).
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpvae import processes

Kind = Literal["hinge", "bce"]
_LARGEST_WEIGHT = 1e4
_LEAST_GRADIENT = 1e-4


def deception(kind: Kind, fake: Tensor) -> Tensor:
    """What the decoder pays for fakes that are seen through, mean over patches.

    `hinge`: -logit (Lim & Ye 2017). `bce`: -log sigmoid(logit), the non-saturating loss of
    Goodfellow et al. 2014.  (B, P) => (B,)
    """
    return (-fake if kind == "hinge" else F.softplus(-fake)).mean(1)


def discrimination(kind: Kind, real: Tensor, fake: Tensor) -> Tensor:
    """What the discriminator pays for taking one for the other, mean over images and patches.

    `hinge`: (max(0, 1 - real) + max(0, 1 + fake)) / 2. `bce`: the mean cross-entropy of both.
    One that cannot tell them apart (logit 0) pays 1 or log 2.  (B, P), (B', P) => scalar
    """
    if kind == "hinge":
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())
    return 0.5 * (F.softplus(-real).mean() + F.softplus(fake).mean())


def adaptive_weight(reconstruction: Tensor, adversarial: Tensor, last_weight: Tensor) -> Tensor:
    """The weight at which both losses pull equally hard at the layer that draws the pixels.

    |grad reconstruction| / (|grad adversarial| + 1e-4), at most 1e4 (Esser et al. 2021, Taming
    transformers, eq. 7).

    Args:
        reconstruction, adversarial: scalars whose graphs are kept; of several processes, each has
            its own, and the gradients are those of their means.
        last_weight: parameter that both depend on.

    Returns:
        A scalar without gradient.
    """
    (one,) = torch.autograd.grad(reconstruction, last_weight, retain_graph=True)
    (other,) = torch.autograd.grad(adversarial, last_weight, retain_graph=True)
    one, other = processes.mean(one), processes.mean(other)
    return (one.norm() / (other.norm() + _LEAST_GRADIENT)).clamp(max=_LARGEST_WEIGHT).detach()
