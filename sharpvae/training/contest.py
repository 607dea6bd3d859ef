"""The contest of decoder and discriminator: what each is shown in an update, and what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.distributed import processes
from sharpvae.objective.adversary import Adversary, adaptive_weight
from sharpvae.objective.augmentation import NUMBERS, augment
from sharpvae.objective.objective import Objective
from sharpvae.training.validate import Terms
from sharpvae.vae.vae import VAE, Posterior

RATE = 0.01  # the weight of the latest batch: about the last hundred count
_LEAST_VARIANCE = 1e-4  # of the largest: what a factorisation in single precision needs


class AggregatePosterior:
    """The Gaussian with the moments of q(z), the posterior averaged over the training images.

    A density fitted to the codes after training approaches q(z) too; a single Gaussian is the
    simplest such density, and fits in no time. Of each batch it takes the exact moments,
    E[mean] and E[mean mean' + diag(variance)], and averages them over updates: the first hundred
    alike, later ones with `RATE`. Before the first it is the prior N(0, I).

    All processes hold the same. Each has equally many codes of a batch.

    Args:
        latent_dim: Z.
        device: of the codes.
    """

    def __init__(self, latent_dim: int, device: torch.device) -> None:
        self.first = torch.zeros(latent_dim, device=device)  # E[z]
        self.second = torch.eye(latent_dim, device=device)  # E[z z']
        self.updates = 0

    @torch.no_grad()
    def update(self, mean: Tensor, log_var: Tensor) -> None:
        """Follow the posteriors of a batch, float32 (B, Z) twice."""
        mean, variance = mean.detach().float(), log_var.detach().float().exp()
        second = mean.T @ mean / len(mean) + torch.diag(variance.mean(0))
        self.updates += 1
        rate = max(RATE, 1 / self.updates)
        self.first = self.first.lerp(processes.all_reduce_mean(mean.mean(0)), rate)
        self.second = self.second.lerp(processes.all_reduce_mean(second), rate)

    @torch.no_grad()
    def draw(self, noise: Tensor) -> Tensor:
        """Codes of standard normal noise.  float32 (B, Z) => (B, Z), without gradient"""
        covariance = self.second - torch.outer(self.first, self.first)
        least = _LEAST_VARIANCE * covariance.diagonal().max()
        covariance.diagonal().add_(least)
        # Without a look at whether it succeeded, for which the host would wait.
        factor, _ = torch.linalg.cholesky_ex(covariance)
        return self.first + noise @ factor.T

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {"first": self.first, "second": self.second, "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.first = state["first"].to(self.first.device)
        self.second = state["second"].to(self.second.device)
        self.updates = state["updates"]


@dataclass(frozen=True)
class Draws:
    """Of one piece of a batch; nothing before the contest begins."""

    codes: Tensor | None = None  # (B, Z), which become samples
    augmentations: Tensor | None = None  # (3, B, NUMBERS): of the reals, and of up to two kinds


class Contest:
    """Draws for each update, the same however many processes and pieces share its batch.

    Args:
        adversary, vae, objective: on `device`, as the batches.
        rows: of each batch, those that this process takes, on the device.
        batch_size: images of a batch, in all processes together.
        accumulate: pieces of it.
        seed: of the draws.
    """

    def __init__(
        self, adversary: Adversary, vae: VAE, objective: Objective, rows: Tensor, batch_size: int,
        accumulate: int, seed: int,
    ) -> None:  # fmt: skip
        self.adversary, self.vae, self.objective = adversary, vae, objective
        self.rows, self.batch_size, self.accumulate = rows, batch_size, accumulate
        self.seed, self.device, self.config = seed, rows.device, adversary.config
        self.prior = generator(seed, "adversary", self.device)
        self.sampled = self.config.fakes != "reconstructions"
        self.aggregate = None
        if self.sampled and self.config.codes == "aggregate":
            self.aggregate = AggregatePosterior(vae.latent_dim, self.device)

    def begun(self, step: int) -> bool:
        """Whether the decoder feels the adversary after `step` updates."""
        return self.objective.weight("adversarial", step) > 0

    def draw(self, step: int) -> list[Draws]:
        """Of each piece of the batch of the update after `step` ones."""
        codes: Sequence[Tensor | None] = [None] * self.accumulate
        if self.sampled:
            shape = self.batch_size, self.vae.latent_dim
            noise = torch.randn(shape, generator=self.prior, device=self.device)[self.rows]
            drawn = noise if self.aggregate is None else self.aggregate.draw(noise)
            codes = drawn.chunk(self.accumulate)
        random = generator(self.seed, f"augmentation {step}", self.device)
        numbers = torch.rand((3, self.batch_size, NUMBERS), generator=random, device=self.device)[
            :, self.rows
        ]
        return [Draws(*pair) for pair in zip(codes, numbers.chunk(self.accumulate, 1), strict=True)]

    def fakes(self, images: Tensor, drawn: Draws) -> list[Tensor]:
        """What is shown of each kind, (B, C, H, W) each, with gradient.

        Args:
            images: reconstructions, and behind them samples where there are codes.
        """
        kinds = list(images.chunk(2 if self.sampled else 1))
        return self._augmented(kinds[1:] if self.config.fakes == "samples" else kinds, drawn, 1)

    def terms(self, reals: Tensor, images: Tensor, fakes: Sequence[Tensor], step: int) -> Terms:
        """What they cost the decoder, (B,) each.

        Args:
            reals: the images (B, C, H, W).
            images, fakes: as `fakes` takes and gives them.
        """
        terms = {"adversarial": torch.stack([self.adversary.term(fake) for fake in fakes]).mean(0)}
        if self.objective.weight("matching", step) > 0:
            terms["matching"] = self.adversary.matching(reals, images[: len(reals)])
        return terms

    def pull(
        self, images: Tensor, reconstruction: Tensor, adversarial: Tensor, step: int
    ) -> tuple[Tensor, float | Tensor]:
        """Where reconstruction and adversary together pull the images.

        From the images on back both go one way, so that the networks behind the losses are gone
        through once, whatever else is asked of the gradients.

        Args:
            images: as `fakes` takes them.
            reconstruction, adversarial: the means of both losses, unweighted the second.

        Returns:
            The gradient of their weighted sum at the images, and the weight of the adversary.
        """
        weight: float | Tensor = self.objective.weight("adversarial", step)
        (one,) = torch.autograd.grad(reconstruction, images, retain_graph=True)
        (other,) = torch.autograd.grad(adversarial, images)
        if self.config.adaptive:
            weight = weight * adaptive_weight(images, one, other, self.vae.decoder.last_weight)
        return one + weight * other, weight

    def backward(
        self, reals: Sequence[Tensor], fakes: Sequence[Sequence[Tensor]], draws: Sequence[Draws],
        step: int,
    ) -> Terms:  # fmt: skip
        """Set the gradient of the discriminator; see `Adversary.backward`."""
        pairs = zip(reals, draws, strict=True)
        shown = [self._augmented([images], drawn, 0)[0] for images, drawn in pairs]
        return self.adversary.backward(shown, fakes, step)

    def follow(self, posteriors: Sequence[Posterior]) -> None:
        """Learn where the codes of a batch are, of which each piece gives its posteriors."""
        if self.aggregate is not None:
            mean, log_var = (torch.cat(parts) for parts in zip(*posteriors, strict=True))
            self.aggregate.update(mean, log_var)

    def _augmented(self, kinds: Sequence[Tensor], drawn: Draws, first: int) -> list[Tensor]:
        if drawn.augmentations is None:
            raise ValueError("nothing was drawn for this update")
        pairs = zip(kinds, drawn.augmentations[first:], strict=False)
        return [augment(kind, self.config.augment, numbers) for kind, numbers in pairs]

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        state = {"adversary": self.adversary.state_dict(), "prior": self.prior.get_state()}
        if self.aggregate is not None:
            state["aggregate"] = self.aggregate.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.adversary.load_state_dict(state["adversary"])
        self.prior.set_state(state["prior"])
        if self.aggregate is not None:
            self.aggregate.load_state_dict(state["aggregate"])
