"""The training loop: a generator that yields what happened, and leaves showing it to others."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from sharpvae.config.schema import TrainConfig
from sharpvae.datasets.batches import Batch, Feed
from sharpvae.networks.vae import VAE
from sharpvae.objective.objective import Objective
from sharpvae.randomness import generator
from sharpvae.training.guard import FiniteGuard
from sharpvae.training.records import Epoch, Step

_GUARD_EVERY = 50  # updates between two looks at the guard, each of which waits for the GPU


class Trainer:
    """Trains one VAE on one split.

    After `run` is exhausted the VAE holds the weights of the best validation loss where
    `early_stop_patience` is above 0, else the last ones.

    Args:
        vae: on the device of the feeds.
        objective: on the device of the feeds.
        config: the `train` section.
        train, validation: feeds to one device.
        seed: of every draw made here.
        context: names the run in messages, such as `variant improved, seed 0`.
    """

    def __init__(
        self,
        vae: VAE,
        objective: Objective,
        config: TrainConfig,
        train: Feed,
        validation: Feed,
        seed: int,
        context: str,
    ) -> None:
        # Channels last: an update takes 0.7 (original) to 0.85 (improved) of the time on a CPU.
        self.vae = vae.to(memory_format=torch.channels_last)
        self.objective = objective.to(memory_format=torch.channels_last)
        self.config = config
        self.train, self.validation, self.seed = train, validation, seed
        self.device = train.device
        self.autocast = _autocast(config.precision, self.device)
        self.optimizer = _optimizer(config, vae)
        self.schedule = _schedule(config, self.optimizer)
        self.guard = FiniteGuard(context)
        self.noise = generator(seed, "posterior", self.device)
        self.step = 0
        self.best_epoch, self.best_loss = 0, math.inf
        self.best_state: dict[str, Tensor] = {}

    def run(self) -> Iterator[Step | Epoch]:
        """Train to the end.

        Raises:
            UserError: a term of the objective or the gradient is not finite.
        """
        for epoch in range(1, self.config.epochs + 1):
            train = yield from self._train_epoch(epoch)
            validation = self.validate()
            self.guard.check(epoch, lr=self.lr, beta=self.objective.beta(self.step))
            record = self._conclude(epoch, train, validation)
            yield record
            if record.last:
                break
        if self.best_state:
            self.vae.load_state_dict(self.best_state)
        self.vae.eval()

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def _train_epoch(self, epoch: int) -> Generator[Step, None, dict[str, float]]:
        self.vae.train()
        size = self.config.batch_size
        steps = self.train.count // size
        sums: dict[str, Tensor] = {}
        batches = self.train.shuffled(size, self.seed, epoch, self.config.flip)
        for done, batch in enumerate(batches, start=1):
            for name, value in self._update(batch).items():
                sums[name] = sums[name] + value if name in sums else value
            if done % _GUARD_EVERY == 0:
                self.guard.check(epoch, lr=self.lr, beta=self.objective.beta(self.step))
            yield Step(epoch, done, steps, size)
        return {name: float(total) / steps for name, total in sums.items()}

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        """One step of the optimiser; the mean of each term as it was before the step."""
        beta = self.objective.beta(self.step)
        terms = self._terms(batch, self.noise)
        loss = self.objective.total(terms, beta, self.train.pixels).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        watched = {**terms, "loss": loss}
        if self.config.grad_clip > 0:
            watched["gradient"] = torch.nn.utils.clip_grad_norm_(
                self.vae.parameters(), self.config.grad_clip
            )
        self.optimizer.step()
        self.step += 1
        self.guard.watch(self.step, watched)
        return {name: term.detach().mean() for name, term in (terms | {"loss": loss}).items()}

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean of each term over the validation split, at the final beta.

        The noise is the same at every call and beta does not move, or early stopping would compare
        different losses.
        """
        self.vae.eval()
        noise = generator(self.seed, "validation", self.device)
        sums: dict[str, Tensor] = {}
        for batch in self.validation.in_order(self.config.batch_size):
            terms = self._terms(batch, noise)
            terms["loss"] = self.objective.total(terms, self.objective.loss.beta, self.train.pixels)
            for name, term in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + term.sum()
        return {name: float(total) / self.validation.count for name, total in sums.items()}

    def _conclude(self, epoch: int, train: dict[str, float], validation: dict[str, float]) -> Epoch:
        loss, lr = validation["loss"], self.lr
        best = loss < self.best_loss
        if best:
            self.best_epoch, self.best_loss = epoch, loss
            if self.config.early_stop_patience > 0:
                state = self.vae.state_dict()
                self.best_state = {name: value.clone() for name, value in state.items()}
        if self.schedule is not None:
            self.schedule.step(loss)
        patience = self.config.early_stop_patience
        stop = 0 < patience <= epoch - self.best_epoch
        return Epoch(
            epoch=epoch,
            step=self.step,
            train=train,
            validation=validation,
            beta=self.objective.beta(self.step - 1),
            lr=lr,
            best=best,
            last=stop or epoch == self.config.epochs,
            stopped_early=stop and epoch < self.config.epochs,
        )

    def _terms(self, batch: Batch, random: torch.Generator) -> dict[str, Tensor]:
        """Every term of each image under one draw of the posterior, (B,) each."""
        shape = len(batch.images), self.vae.latent_dim
        noise = torch.randn(shape, generator=random, device=self.device)
        with self.autocast:
            reconstructions, posterior = self.vae(batch.images, noise, batch.labels)
        mean, log_var = posterior.mean.float(), posterior.log_var.float()
        return self.objective.terms(batch.images, reconstructions.float(), mean, log_var)


def _autocast(precision: str, device: torch.device) -> torch.autocast:
    """bf16 where asked for, or where `auto` finds a GPU that computes it; weights stay fp32."""
    capable = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    enabled = precision == "bf16" or (precision == "auto" and capable)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _optimizer(config: TrainConfig, vae: VAE) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(vae.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)


def _schedule(
    config: TrainConfig, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.ReduceLROnPlateau | None:
    if config.scheduler == "none":
        return None
    return torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=config.plateau_factor, patience=config.plateau_patience
    )
