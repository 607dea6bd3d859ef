"""Epochs, and what they yield."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sharpvae.core.errors import UserError
from sharpvae.distributed import processes
from sharpvae.distributed.processes import synchronise
from sharpvae.images.feed import Batch, Feed
from sharpvae.objective.adversary import Adversary
from sharpvae.objective.objective import Objective
from sharpvae.training.config import TrainConfig
from sharpvae.training.faults import FiniteGuard, NotFinite
from sharpvae.training.update import Average, Updater
from sharpvae.training.validate import Terms, validate
from sharpvae.vae.vae import VAE


@dataclass(frozen=True)
class Step:
    """An update."""

    epoch: int  # counted from 1
    done: int  # updates in this epoch
    of: int  # so many has the epoch
    step: int  # updates done since the start
    images: int  # of this update, in all processes together
    # Mean over its images of each term and `loss`, with `beta`, `lr` and `gradient`, every
    # `logging.every` updates; None at the others, which do not wait for the device.
    numbers: dict[str, float] | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch is done, of one or several passes over the images, and validated.

    `train` and `validation` are means over images of each term, summed over pixels or latent
    dimensions, and `loss`, the weighted total; validation at the final beta.
    """

    epoch: int  # counted from 1
    step: int  # updates done since the start
    train: dict[str, float]
    validation: dict[str, float]
    kl_per_dimension: list[float]  # nats, mean over the validation images
    active_units: int  # as of `Validation`
    fid: float | None  # of prior samples against the validation images; None: not measured
    beta: float  # of the last update, as `lr`
    lr: float
    gradient: float  # norm before clipping, mean over the updates
    best: bool  # the best value so far of what `train.best_by` names
    last: bool  # training ends here
    stopped_early: bool  # because that value stopped getting better

    def rows(self) -> list[tuple[int, int, str, str, float]]:
        """The record as rows of history.csv: epoch, step, split, term, value."""
        fid = {} if self.fid is None else {"fid": self.fid}
        splits = {
            "train": {**self.train, "gradient": self.gradient},
            "validation": {**self.validation, "active_units": self.active_units, **fid},
            "schedule": {"beta": self.beta, "lr": self.lr},
        }
        return [
            (self.epoch, self.step, split, term, value)
            for split, terms in splits.items()
            for term, value in terms.items()
        ]


class Best:
    """The lowest value so far, and its weights; hopeless after `patience` epochs, never if 0."""

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.epoch, self.value = 0, math.inf
        self.state: dict[str, Tensor] = {}

    def offer(self, epoch: int, value: float, network: nn.Module) -> bool:
        """Copy the weights of `network` if `value` is the lowest so far; whether it is."""
        if not value < self.value:
            return False
        self.epoch, self.value = epoch, value
        self.state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        return True

    def hopeless(self, epoch: int) -> bool:
        """Whether patience has run out by `epoch`."""
        return 0 < self.patience <= epoch - self.epoch

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs."""
        return {"epoch": self.epoch, "value": self.value, "state": self.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        self.__dict__.update(state)


class Column:
    """The values of one term in the updates of an epoch, on their device.

    They go into one tensor: kept one by one, they would lie between the maps of their updates,
    whose room could then not be used again, and memory would grow by a batch an update.
    """

    def __init__(self, most: int, like: Tensor) -> None:
        self._values, self._count = like.new_empty(most), 0

    def append(self, value: Tensor) -> None:
        self._values[self._count] = value
        self._count += 1

    def values(self) -> Tensor:
        """(updates,), a copy"""
        return self._values[: self._count].clone()


class Trainer:
    """Trains one VAE on one split, from the beginning or from a `state_dict`.

    What `state_dict` gives between two records of `run`, loaded into an equal trainer, leads to
    the same weights, bit for bit on the same machine. Networks and feeds are on one device.

    Args:
        seed: of every draw made here.
        context: names the run in messages, such as `variant improved, seed 0`.
        look_every: updates between two looks at the numbers, which wait for the device.
        adversary: needed where `loss.weights.adversarial` is above 0.
        fid: of prior samples of a VAE in evaluation mode; needed where `train.best_by` is fid.
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
        look_every: int = 50,
        adversary: Adversary | None = None,
        fid: Callable[[VAE], float] | None = None,
    ) -> None:
        if config.best_by == "fid" and fid is None:
            raise ValueError("train.best_by is fid, but nothing was given to measure it")
        # Channels last: an update takes 0.7 (original) to 0.85 (improved) of the time on a CPU. But
        # a network of the user's own may call `view`, which wants the usual order.
        layout = torch.contiguous_format if vae.own else torch.channels_last
        self.vae = vae.to(memory_format=layout)
        synchronise(self.vae)
        if adversary is not None:
            synchronise(adversary.discriminator)
        self.objective = objective.to(memory_format=torch.channels_last)
        self.config, self.train, self.validation, self.seed = config, train, validation, seed
        self.look_every, self.fid = look_every, fid
        self.guard = FiniteGuard(context, train.device)
        self.update = Updater(
            self.vae, self.objective, config, seed, train.device, self.guard, adversary
        )
        self.average = Average(self.vae, config.ema) if config.ema > 0 else None
        self.plateau = None
        if config.scheduler == "plateau":
            self.plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
                self.update.optimizer, factor=config.lr_factor, patience=config.lr_patience
            )
        self.best = Best(config.early_stop_patience)
        self.history: list[Epoch] = []  # so far
        self.span = objective.span
        self.steps = self.span.epoch_steps
        self.done = 0  # updates of the current epoch
        self.columns: dict[str, Column] = {}  # the terms of these, of this process's rows
        self.before: dict[str, Tensor] = {}  # those before a checkpoint, of all processes

    @property
    def epoch(self) -> int:
        """The current epoch, counted from 1."""
        return len(self.history) + 1

    @property
    def finished(self) -> bool:
        """Whether `run` has nothing left to do."""
        return bool(self.history) and self.history[-1].last

    @property
    def seen(self) -> VAE:
        """The VAE that is validated and kept: the one that learns, or its average."""
        return self.vae if self.average is None else self.average.vae

    def run(self) -> Iterator[Step | Epoch]:
        """Train to the end.

        Raises:
            NotFinite: a term of the objective or the gradient is not finite.
            UserError: the validation is not finite.
        """
        size = self.config.batch_size
        while not self.finished:
            self.vae.train()
            epoch = self.epoch
            for batch in self._batches():
                terms = self.update(batch)
                if self.average is not None:
                    self.average.update(self.update.step)
                for name, value in terms.items():
                    if name not in self.columns:
                        self.columns[name] = Column(self.steps, value)
                    self.columns[name].append(value)
                self.done += 1
                numbers = self._look(terms)
                yield Step(epoch, self.done, self.steps, self.update.step, size, numbers)
            self.guard.check(epoch, self._used())
            yield self._conclude()

    def _batches(self) -> Iterator[Batch]:
        """Those left of this epoch, which is one or several passes over the images."""
        rows = self.update.rows if processes.world() > 1 else None
        while self.done < self.steps:
            yield from self._pass_from((self.epoch - 1) * self.steps + self.done, rows)

    def _pass_from(self, index: int, rows: Tensor | None = None) -> Iterator[Batch]:
        """The batches from update `index` on, counted from 0, to the end of that pass."""
        size, flip = self.config.batch_size, self.config.flip
        done, start = divmod(index, self.train.count // size)
        return self.train.shuffled(size, self.seed, done + 1, flip, start, rows)

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The state of the VAE at the `last` epoch, and at the `best` by `train.best_by`."""
        last = {name: value.clone() for name, value in self.seen.state_dict().items()}
        return {"last": last, "best": self.best.state}

    def kept(self) -> VAE:
        """The VAE with the weights that `train.keep` names, in evaluation mode."""
        self.vae.load_state_dict(self.weights()[self.config.keep])
        return self.vae.eval()

    def _look(self, terms: Terms) -> dict[str, float] | None:
        """The numbers of the last update, where it is time to look."""
        if self.update.step % self.look_every:
            return None
        self.guard.check(self.epoch, self._used())
        values = processes.all_reduce_mean(torch.stack(list(terms.values())))
        return dict(zip(terms, values.tolist(), strict=True)) | self._used()

    def _used(self) -> dict[str, float]:
        return {name: float(value) for name, value in self.update.used.items()}

    def _conclude(self) -> Epoch:
        """Validate, choose, and close the epoch."""
        epoch, used, config = self.epoch, self._used(), self.config
        end = epoch == self.span.epochs
        # Some terms begin late: each is averaged over the updates that had it.
        train = {name: float(values.mean()) for name, values in self._terms().items()}
        precision, feed = self.update.autocast, self.validation
        found = validate(self.seen, self.objective, precision, feed, config.batch_size, self.seed)
        # All ranks must choose alike, whatever the last bit of their sums.
        fid = None
        if self.fid is not None and (end or epoch % config.fid_every == 0):
            fid = processes.broadcast(self.fid(self.seen))
        loss = processes.broadcast(found.terms["loss"])
        self._require_finite(found.terms if fid is None else {**found.terms, "fid": fid})
        value = loss if config.best_by == "loss" else fid
        best = value is not None and self.best.offer(epoch, value, self.seen)
        stop = value is not None and self.best.hopeless(epoch)
        if self.plateau is not None:
            self.plateau.step(loss)
        record = Epoch(
            epoch=epoch,
            step=self.update.step,
            gradient=train.pop("gradient"),
            train=train,
            validation=found.terms,
            kl_per_dimension=found.kl_per_dimension,
            active_units=found.active_units,
            fid=fid,
            best=best,
            last=stop or end,
            stopped_early=stop and not end,
            **used,
        )
        self.history.append(record)
        self.done, self.columns, self.before = 0, {}, {}
        return record

    def _require_finite(self, found: dict[str, float]) -> None:
        """Raise where no epoch could be chosen by what its validation found."""
        for name, value in found.items():
            if not math.isfinite(value):
                raise UserError(
                    f"{self.guard.context}: validation, '{name}'",
                    "a finite number",
                    f"{value} after epoch {self.epoch}",
                    "lower train.lr, set train.grad_clip: 1.0, or train.precision: fp32",
                )

    def _terms(self) -> dict[str, Tensor]:
        """Of each update of this epoch, mean over the whole batch: (updates,) each."""
        found = dict(self.before)
        for name, column in self.columns.items():
            values = processes.all_reduce_mean(column.values())
            found[name] = torch.cat([found[name], values]) if name in found else values
        return found

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs, as tensors and plain values.

        All ranks call it at the same record and get the same.

        Raises:
            NotFinite: a term or the gradient is not finite.
        """
        self.guard.check(self.epoch, self._used())
        return {
            "update": self.update.state_dict(),
            "average": None if self.average is None else self.average.vae.state_dict(),
            "plateau": None if self.plateau is None else self.plateau.state_dict(),
            "best": self.best.state_dict(),
            "history": [asdict(record) for record in self.history],
            "done": self.done,
            "terms": self._terms(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from the `state_dict` of an equal trainer."""
        self.update.load_state_dict(state["update"])
        if self.average is not None:
            self.average.vae.load_state_dict(state["average"])
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])
        self.best.load_state_dict(state["best"])
        self.history = [Epoch(**record) for record in state["history"]]
        self.done = state["done"]
        self.columns = {}
        self.before = {name: some.to(self.train.device) for name, some in state["terms"].items()}

    def evidence(self, error: NotFinite) -> dict[str, Any]:
        """What reproduces `error`.

        Returns:
            `images` float32 (B, C, H, W), `labels` int64 (B,) or None and `noise` (B, Z) of the
            update that failed; `vae`, the weights before it (statistics of batch norm have moved
            since, so run it in training mode); `update`, `term`, `lr`, `beta`.
        """
        batch = next(self._pass_from(error.update - 1))
        return {
            **batch._asdict(),
            "noise": self.update.noise_of(error.update),
            "vae": self.vae.state_dict(),
            "update": error.update,
            "term": error.term,
            **self._used(),
        }
