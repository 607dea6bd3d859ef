"""The training loop: a generator that yields what happened, and leaves showing it to others."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from sharpvae.config.schema import TrainConfig
from sharpvae.datasets.batches import Batch, Feed
from sharpvae.networks.vae import VAE
from sharpvae.objective.adversarial import adaptive_weight
from sharpvae.objective.control import LEAST, next_beta
from sharpvae.objective.objective import Objective
from sharpvae.objective.schedules import Span, lr_factor
from sharpvae.randomness import generator, global_seed
from sharpvae.training.adversary import Adversary
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
        adversary: needed where `loss.weights.adversarial` is above 0.
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
        adversary: Adversary | None = None,
    ) -> None:
        if objective.loss.weights.adversarial > 0 and adversary is None:
            raise ValueError("loss.weights.adversarial is above 0, but no adversary was given")
        # Channels last: an update takes 0.7 (original) to 0.85 (improved) of the time on a CPU.
        self.vae = vae.to(memory_format=torch.channels_last)
        self.objective = objective.to(memory_format=torch.channels_last)
        self.config, self.adversary = config, adversary
        self.train, self.validation, self.seed = train, validation, seed
        self.device = train.device
        self.autocast = _autocast(config.precision, self.device)
        self.optimizer = _optimizer(config, vae)
        self.per_update, self.per_epoch = _schedules(config, self.optimizer, objective.span)
        self.guard = FiniteGuard(context)
        self.noise = generator(seed, "posterior", self.device)
        self.prior = generator(seed, "adversary", self.device)
        self.drops = any(isinstance(layer, nn.Dropout) and layer.p > 0 for layer in vae.modules())
        self.step = 0
        self.controlled = torch.tensor(LEAST * objective.beta(), device=self.device)
        self.used: dict[str, float | Tensor] = {"lr": config.lr, "beta": 0.0}
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
            self._check(epoch)
            record = self._conclude(epoch, train, validation)
            yield record
            if record.last:
                break
        if self.best_state:
            self.vae.load_state_dict(self.best_state)
        self.vae.eval()

    def _check(self, epoch: int) -> None:
        self.guard.check(epoch, **{name: float(value) for name, value in self.used.items()})

    def _train_epoch(self, epoch: int) -> Generator[Step, None, dict[str, float]]:
        self.vae.train()
        size = self.config.batch_size
        steps = self.train.count // size
        values: dict[str, list[Tensor]] = {}
        batches = self.train.shuffled(size, self.seed, epoch, self.config.flip)
        for done, batch in enumerate(batches, start=1):
            for name, value in self._update(batch).items():
                values.setdefault(name, []).append(value)
            if done % _GUARD_EVERY == 0:
                self._check(epoch)
            yield Step(epoch, done, steps, size)
        # Some terms begin late: each is averaged over the updates that had it.
        return {name: float(torch.stack(some).mean()) for name, some in values.items()}

    def _update(self, batch: Batch) -> dict[str, Tensor]:
        """One step of each optimiser; the mean of each term as it was before the step."""
        with self._dropout():
            terms, reconstructions = self._forward(batch, self.noise)
            fakes = self._fakes(batch, reconstructions)
        loss = self._loss(terms)
        if self.adversary is not None and fakes is not None:
            terms["adversarial"] = self.adversary.term(fakes)
            loss = loss + self._adversarial_weight(terms) * terms["adversarial"].mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        watched = {**terms, "loss": loss}
        if self.config.grad_clip > 0:
            watched["gradient"] = torch.nn.utils.clip_grad_norm_(
                self.vae.parameters(), self.config.grad_clip
            )
        self.used["lr"] = float(self.optimizer.param_groups[0]["lr"])
        self.optimizer.step()
        if self.per_update is not None:
            self.per_update.step()
        terms["loss"] = loss
        if self.adversary is not None and fakes is not None:
            watched["discriminator"] = self.adversary.update(batch.images, fakes)
            terms["discriminator"] = watched["discriminator"]
        self.step += 1
        self.guard.watch(self.step, watched)
        return {name: term.detach().mean() for name, term in terms.items()}

    def _dropout(self) -> AbstractContextManager[None]:
        """Dropout takes no generator: this seeds the one that it draws from, for one update."""
        if not self.drops:
            return nullcontext()
        return global_seed(self.seed, f"dropout {self.step}")

    def _loss(self, terms: dict[str, Tensor]) -> Tensor:
        """The objective without its adversarial part, mean over the batch, at beta as it stands."""
        largest, share = self.objective.beta(self.step), self.objective.loss.kl_share
        beta: float | Tensor = self.controlled if share > 0 else largest
        regularisation = self.objective.regularisation(terms, beta).mean()
        loss = self.objective.reconstruction(terms, self.step).mean() + regularisation
        self.used["beta"] = beta
        if share > 0:
            bound = torch.full_like(self.controlled, largest)
            now = torch.nan_to_num((regularisation / loss).detach())  # 0 of a loss of 0
            self.controlled = next_beta(self.controlled, now, share, bound)
        return loss

    def _fakes(self, batch: Batch, reconstructions: Tensor) -> Tensor | None:
        """What the adversary is shown as fakes, float32 (B or 2B, C, H, W); None before it starts.

        The discriminator sees the very images that the decoder was pulled by.
        """
        if self.adversary is None or self.objective.weight("adversarial", self.step) == 0:
            return None
        kind = self.adversary.config.fakes
        if kind == "reconstructions":
            return reconstructions
        shape = len(batch.images), self.vae.latent_dim
        noise = torch.randn(shape, generator=self.prior, device=self.device)
        with self.autocast:
            samples = self.vae.decoder(noise, batch.labels).float()
        return samples if kind == "samples" else torch.cat([reconstructions, samples])

    def _adversarial_weight(self, terms: dict[str, Tensor]) -> float | Tensor:
        weight = self.objective.weight("adversarial", self.step)
        if not self.objective.loss.adversarial.adaptive:
            return weight
        reconstruction = self.objective.reconstruction(terms, self.step).mean()
        term = terms["adversarial"].mean()
        return weight * adaptive_weight(reconstruction, term, self.vae.decoder.last_weight)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Mean of each term over the validation split, at the final weights.

        The noise is the same at every call and no weight moves, or early stopping would compare
        different losses; for the same reason the adversarial term, whose scale is whatever the
        discriminator says that day, has no part in it.
        """
        self.vae.eval()
        noise = generator(self.seed, "validation", self.device)
        sums: dict[str, Tensor] = {}
        for batch in self.validation.in_order(self.config.batch_size):
            terms, _ = self._forward(batch, noise)
            terms["loss"] = self.objective.total(terms, self.objective.beta())
            for name, term in terms.items():
                sums[name] = sums.get(name, torch.zeros((), device=self.device)) + term.sum()
        return {name: float(total) / self.validation.count for name, total in sums.items()}

    def _conclude(self, epoch: int, train: dict[str, float], validation: dict[str, float]) -> Epoch:
        loss = validation["loss"]
        best = loss < self.best_loss
        if best:
            self.best_epoch, self.best_loss = epoch, loss
            if self.config.early_stop_patience > 0:
                state = self.vae.state_dict()
                self.best_state = {name: value.clone() for name, value in state.items()}
        if self.per_epoch is not None:
            self.per_epoch.step(loss)
        patience = self.config.early_stop_patience
        stop = 0 < patience <= epoch - self.best_epoch
        return Epoch(
            epoch=epoch,
            step=self.step,
            train=train,
            validation=validation,
            beta=float(self.used["beta"]),
            lr=float(self.used["lr"]),
            best=best,
            last=stop or epoch == self.config.epochs,
            stopped_early=stop and epoch < self.config.epochs,
        )

    def _forward(self, batch: Batch, random: torch.Generator) -> tuple[dict[str, Tensor], Tensor]:
        """Every term of each image under one draw of the posterior, (B,) each; and that draw."""
        shape = len(batch.images), self.vae.latent_dim
        noise = torch.randn(shape, generator=random, device=self.device)
        with self.autocast:
            reconstructions, posterior = self.vae(batch.images, noise, batch.labels)
        mean, log_var = posterior.mean.float(), posterior.log_var.float()
        reconstructions = reconstructions.float()
        return self.objective.terms(batch.images, reconstructions, mean, log_var), reconstructions


def _autocast(precision: str, device: torch.device) -> torch.autocast:
    """bf16 where asked for, or where `auto` finds a GPU that computes it; weights stay fp32."""
    capable = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    enabled = precision == "bf16" or (precision == "auto" and capable)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _optimizer(config: TrainConfig, vae: VAE) -> torch.optim.Optimizer:
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(vae.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=True)


def _schedules(
    config: TrainConfig, optimizer: torch.optim.Optimizer, span: Span
) -> tuple[
    torch.optim.lr_scheduler.LambdaLR | None, torch.optim.lr_scheduler.ReduceLROnPlateau | None
]:
    """What moves the learning rate after each update, and what does so after each epoch."""
    if config.scheduler == "plateau":
        return None, torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=config.lr_factor, patience=config.lr_patience
        )
    if config.scheduler == "none":
        return None, None
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: lr_factor(
            config.scheduler, step, span, config.lr_warmup, config.lr_factor, config.lr_every
        ),
    ), None
