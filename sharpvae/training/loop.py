"""The training loop: a generator that yields what happened, and leaves showing it to others."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator

import torch
from torch import Tensor

from sharpvae.config.schema import TrainConfig
from sharpvae.datasets.batches import in_order, shuffled
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
        vae: on the device of the images.
        objective: on the device of the images.
        config: the `train` section.
        train, validation: uint8 (N, C, H, W).
        seed: of every draw made here.
        context: names the run in messages, such as `variant improved, seed 0`.
    """

    def __init__(
        self,
        vae: VAE,
        objective: Objective,
        config: TrainConfig,
        train: Tensor,
        validation: Tensor,
        seed: int,
        context: str,
    ) -> None:
        # Channels last: an update takes 0.7 (original) to 0.85 (improved) of the time on a CPU.
        self.vae = vae.to(memory_format=torch.channels_last)
        self.objective = objective.to(memory_format=torch.channels_last)
        self.config = config
        self.train, self.validation, self.seed = train, validation, seed
        self.device = train.device
        self.pixels = train[0].numel()
        self.autocast = _autocast(config.precision, self.device)
        self.optimizer = _optimizer(config, vae)
        self.schedule = _schedule(config, self.optimizer)
        self.guard = FiniteGuard(context)
        self.order = generator(seed, "order")
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
        steps = len(self.train) // size
        sums: dict[str, Tensor] = {}
        batches = shuffled(self.train, size, self.order, self.config.flip)
        for done, images in enumerate(batches, start=1):
            for name, value in self._update(images).items():
                sums[name] = sums[name] + value if name in sums else value
            if done % _GUARD_EVERY == 0:
                self.guard.check(epoch, lr=self.lr, beta=self.objective.beta(self.step))
            yield Step(epoch, done, steps, size)
        return {name: float(total) / steps for name, total in sums.items()}

    def _update(self, images: Tensor) -> dict[str, Tensor]:
        """One step of the optimiser; the mean of each term as it was before the step."""
        beta = self.objective.beta(self.step)
        noise = self._draw(len(images), self.noise)
        with self.autocast:
            reconstructions, posterior = self.vae(images, noise)
        mean, log_var = posterior.mean.float(), posterior.log_var.float()
        terms = self.objective.terms(images, reconstructions.float(), mean, log_var)
        loss = self.objective.total(terms, beta, self.pixels).mean()
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
        for images in in_order(self.validation, self.config.batch_size):
            with self.autocast:
                reconstructions, posterior = self.vae(images, self._draw(len(images), noise))
            mean, log_var = posterior.mean.float(), posterior.log_var.float()
            terms = self.objective.terms(images, reconstructions.float(), mean, log_var)
            terms["loss"] = self.objective.total(terms, self.objective.loss.beta, self.pixels)
            for name, term in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + term.sum()
        return {name: float(total) / len(self.validation) for name, total in sums.items()}

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

    def _draw(self, count: int, random: torch.Generator) -> Tensor:
        return torch.randn(count, self.vae.latent_dim, generator=random, device=self.device)


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
