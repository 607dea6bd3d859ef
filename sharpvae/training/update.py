"""One update of the weights."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sharpvae.core.devices import autocast
from sharpvae.core.seeds import generator, global_seed
from sharpvae.distributed import processes
from sharpvae.images.feed import Batch
from sharpvae.objective.adversary import Adversary, adaptive_weight
from sharpvae.objective.objective import LEAST, Objective, next_beta, share_of_kl
from sharpvae.objective.schedules import Span, lr_factor
from sharpvae.training.config import TrainConfig
from sharpvae.training.faults import FiniteGuard
from sharpvae.training.validate import Terms, measure
from sharpvae.vae.vae import VAE


class Average:
    """A second VAE whose weights follow those of the one that learns.

    After update t: average = d * average + (1 - d) * weights, with d the smaller of the decay and
    (1 + t) / (10 + t), so that the random first weights are soon forgotten (as TensorFlow's
    ExponentialMovingAverage has it). The statistics of batch norm are averaged likewise, for they
    belong to the weights; counters are copied.

    Args:
        vae: the one that learns; its copy starts equal to it.
        decay: in (0, 1).
    """

    def __init__(self, vae: VAE, decay: float) -> None:
        self.decay = decay
        self.vae = copy.deepcopy(vae).requires_grad_(False).eval()
        pairs = list(zip(self.vae.state_dict().values(), vae.state_dict().values(), strict=True))
        self._averaged: tuple[list[Tensor], list[Tensor]] = _columns(pairs, floating=True)
        self._copied: tuple[list[Tensor], list[Tensor]] = _columns(pairs, floating=False)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the weights after update `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(*self._averaged, 1 - decay)
        for average, counter in zip(*self._copied, strict=True):
            average.copy_(counter)


def _columns(
    pairs: list[tuple[Tensor, Tensor]], floating: bool
) -> tuple[list[Tensor], list[Tensor]]:
    some = [pair for pair in pairs if pair[0].is_floating_point() == floating]
    return [average for average, _ in some], [value for _, value in some]


class Updater:
    """What changes the weights, and all that this needs to go on where it broke off.

    Of several processes each computes its rows of a batch, draws the noise of all of them, and
    takes the same step: the gradient is that of the whole batch.

    Args:
        vae, objective: on `device`.
        config: the `train` section.
        seed: of every draw made here.
        device: of the batches.
        guard: is shown every term and the norm of every gradient.
        adversary: needed where `loss.weights.adversarial` is above 0.

    Attributes:
        rows: of each batch, those that this process takes.
        step: updates done.
        used: learning rate and beta of the last one.
    """

    def __init__(
        self,
        vae: VAE,
        objective: Objective,
        config: TrainConfig,
        seed: int,
        device: torch.device,
        guard: FiniteGuard,
        adversary: Adversary | None = None,
    ) -> None:
        if objective.loss.weights.adversarial > 0 and adversary is None:
            raise ValueError("loss.weights.adversarial is above 0, but no adversary was given")
        self.vae, self.objective, self.config, self.adversary = vae, objective, config, adversary
        self.seed, self.device, self.guard = seed, device, guard
        # Exchanges gradients while the backward pass is still under way.
        self.parallel = DistributedDataParallel(vae) if processes.world() > 1 else vae
        self.forward = (
            torch.compile(self.parallel, dynamic=False) if config.compile else self.parallel
        )
        self.autocast = autocast(config.precision, device)
        self.optimizer = _optimizer(config, vae)
        self.scheduler = _scheduler(config, self.optimizer, objective.span)
        self.noise = generator(seed, "posterior", device)
        self.prior = generator(seed, "adversary", device)
        self.rank, self.world = processes.rank(), processes.world()
        self.rows = processes.rows(config.batch_size, config.accumulate, self.rank, self.world)
        self._rows_there = self.rows.to(device)
        self.drops = any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in vae.modules())
        self.step = 0
        self.controlled = torch.tensor(LEAST * objective.beta(), device=device)
        self.used: dict[str, float | Tensor] = {"lr": config.lr, "beta": 0.0}

    def __call__(self, batch: Batch) -> Terms:
        """One step of each optimiser; the mean of each term as it was before the step.

        Beside the terms: `loss`, and `gradient`, its norm before clipping. Means are over this
        process's rows.
        """
        self.optimizer.zero_grad(set_to_none=True)
        parts = [self._backward(part, index) for index, part in enumerate(self._parts(batch))]
        terms = _means([terms for terms, _ in parts])
        gradient = self._clip()
        bad = self.guard.watch(self.step + 1, {**terms, "gradient": gradient})
        self._control(terms)
        self.used["lr"] = float(self.optimizer.param_groups[0]["lr"])
        self._step(self.optimizer, bad)
        if self.scheduler is not None:
            self.scheduler.step()
        if self.adversary is not None and parts[0][1] is not None:
            fakes = [fakes for _, fakes in parts if fakes is not None]
            terms["discriminator"] = self._discriminate(batch, fakes)
        self.step += 1
        return {**terms, "gradient": gradient}

    def _parts(self, batch: Batch) -> Iterator[tuple[Batch, Tensor]]:
        """The batch cut into `accumulate` pieces, with the noise of each one's posterior."""
        noise = self._draw(self.noise, self.config.batch_size)
        if self.world > 1:
            noise = noise[self._rows_there]
        pieces = self.config.accumulate
        labels = [None] * pieces if batch.labels is None else batch.labels.chunk(pieces)
        for images, own, draws in zip(
            batch.images.chunk(pieces), labels, noise.chunk(pieces), strict=True
        ):
            yield Batch(images, own), draws

    def _draw(self, random: torch.Generator, count: int) -> Tensor:
        return torch.randn(count, self.vae.latent_dim, generator=random, device=self.device)

    def _backward(self, part: tuple[Batch, Tensor], index: int) -> tuple[Terms, Tensor | None]:
        """Add the gradient of one piece; the mean of its terms, and the fakes it made."""
        batch, noise = part
        with self._exchange(index):
            with self._dropout(index):
                terms, reconstructions, _ = measure(
                    self.forward, self.objective, self.autocast, batch, noise
                )
                fakes = self._fakes(batch, reconstructions)
            loss = self._loss(terms)
            if self.adversary is not None and fakes is not None:
                terms["adversarial"] = self.adversary.term(fakes)
                loss = loss + self._adversarial_weight(terms) * terms["adversarial"].mean()
            (loss / self.config.accumulate if self.config.accumulate > 1 else loss).backward()
        terms["loss"] = loss
        means = {name: term.detach().mean() for name, term in terms.items()}
        return means, None if fakes is None else fakes.detach()

    def _exchange(self, index: int) -> AbstractContextManager[None]:
        """Processes exchange the gradient of the last piece alone, which holds that of all."""
        if index == self.config.accumulate - 1 or not isinstance(
            self.parallel, DistributedDataParallel
        ):
            return nullcontext()
        return self.parallel.no_sync()

    def _dropout(self, index: int) -> AbstractContextManager[None]:
        """Dropout takes no generator: this seeds the one that it draws from, for one piece.

        Each process drops other units, so that here several are not quite as one.
        """
        if not self.drops:
            return nullcontext()
        piece = index * self.world + self.rank
        return global_seed(self.seed, f"dropout {self.step}" + (f" {piece}" if piece else ""))

    def _loss(self, terms: Terms) -> Tensor:
        """The objective without its adversarial part, mean over the batch, at beta as it stands."""
        largest, share = self.objective.beta(self.step), self.objective.loss.kl_share
        beta: float | Tensor = self.controlled if share > 0 else largest
        regularisation = self.objective.regularisation(terms, beta).mean()
        self.used["beta"] = beta
        return self.objective.reconstruction(terms, self.step).mean() + regularisation

    def _control(self, terms: Terms) -> None:
        """Move beta towards `loss.kl_share`, where there is one."""
        share = self.objective.loss.kl_share
        if share == 0:
            return
        own = {name: term for name, term in terms.items() if name != "loss"}
        regularisation = self.objective.regularisation(own, self.controlled)
        whole = self.objective.reconstruction(own, self.step) + regularisation
        now = share_of_kl(regularisation, whole)
        bound = torch.full_like(self.controlled, self.objective.beta(self.step))
        self.controlled = next_beta(self.controlled, now, share, bound)

    def _fakes(self, batch: Batch, reconstructions: Tensor) -> Tensor | None:
        """What the adversary is shown as fakes, float32 (B or 2B, C, H, W); None before it starts.

        The discriminator sees the very images that the decoder was pulled by.
        """
        if self.adversary is None or self.objective.weight("adversarial", self.step) == 0:
            return None
        kind = self.adversary.config.fakes
        if kind == "reconstructions":
            return reconstructions
        count = len(batch.images)
        noise = self._draw(self.prior, count * self.world)[self.rank * count :][:count]
        with self.autocast:
            samples = self.vae.decoder(noise, batch.labels).float()
        return samples if kind == "samples" else torch.cat([reconstructions, samples])

    def _adversarial_weight(self, terms: Terms) -> float | Tensor:
        weight = self.objective.weight("adversarial", self.step)
        if not self.objective.loss.adversarial.adaptive:
            return weight
        reconstruction = self.objective.reconstruction(terms, self.step).mean()
        term = terms["adversarial"].mean()
        return weight * adaptive_weight(reconstruction, term, self.vae.decoder.last_weight)

    def _clip(self) -> Tensor:
        """Bound the gradient by `grad_clip`, where it is above 0; its norm before."""
        gradients = [weight.grad for weight in self.vae.parameters() if weight.grad is not None]
        norm = nn.utils.get_total_norm(gradients)
        if self.config.grad_clip > 0:
            nn.utils.clip_grads_with_norm_(self.vae.parameters(), self.config.grad_clip, norm)
        return norm

    def _discriminate(self, batch: Batch, fakes: list[Tensor]) -> Tensor:
        """One step of the discriminator, on the images that the decoder's gradient came from."""
        assert self.adversary is not None
        reals = batch.images.chunk(self.config.accumulate)
        loss = self.adversary.backward(reals, fakes)
        processes.average(
            weight.grad
            for weight in self.adversary.discriminator.parameters()
            if weight.grad is not None
        )
        self._step(
            self.adversary.optimizer, self.guard.watch(self.step + 1, {"discriminator": loss})
        )
        return loss

    @staticmethod
    def _step(optimizer: torch.optim.Optimizer, bad: Tensor) -> None:
        """A step, unless `bad` is 1, which the fused kernels look up on the device."""
        optimizer.found_inf = bad  # type: ignore[attr-defined]
        optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs; nothing but tensors and plain values."""
        return {
            "vae": self.vae.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "adversary": None if self.adversary is None else self.adversary.state_dict(),
            "noise": self.noise.get_state(),
            "prior": self.prior.get_state(),
            "step": self.step,
            "controlled": self.controlled,
            "used": dict(self.used),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.vae.load_state_dict(state["vae"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        if self.adversary is not None:
            self.adversary.load_state_dict(state["adversary"])
        self.noise.set_state(state["noise"])
        self.prior.set_state(state["prior"])
        self.step = state["step"]
        self.controlled = state["controlled"].to(self.device)
        self.used = dict(state["used"])


def _means(parts: list[Terms]) -> Terms:
    """The mean of each term over pieces of equal size."""
    if len(parts) == 1:
        return parts[0]
    return {name: torch.stack([part[name] for part in parts]).mean() for name in parts[0]}


def _optimizer(config: TrainConfig, vae: VAE) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(vae.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)


def _scheduler(
    config: TrainConfig, optimizer: torch.optim.Optimizer, span: Span
) -> torch.optim.lr_scheduler.LambdaLR | None:
    """What moves the learning rate after each update; the plateau moves it after each epoch."""
    if config.scheduler in ("none", "plateau"):
        return None
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: lr_factor(
            config.scheduler, step, span, config.lr_warmup, config.lr_factor, config.lr_every
        ),
    )
