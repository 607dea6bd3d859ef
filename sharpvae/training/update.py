"""One update of the weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from sharpvae.core.devices import autocast
from sharpvae.core.seeds import generator, global_seed
from sharpvae.distributed import processes
from sharpvae.images.feed import Batch
from sharpvae.objective.adversary import Adversary
from sharpvae.objective.objective import LEAST, Objective, next_beta, share_of_kl
from sharpvae.objective.schedules import lr_factor
from sharpvae.training.config import TrainConfig, indivisible
from sharpvae.training.contest import Contest, Draws
from sharpvae.training.faults import FiniteGuard
from sharpvae.training.optimisers import optimiser, step_unless
from sharpvae.training.validate import Terms, measure
from sharpvae.vae.vae import VAE

_NOISE = "posterior"  # purpose of the seed


class Average:
    """An exponential moving average of the VAE that learns, and of its statistics of batch norm.

    After update t: average = d * average + (1 - d) * weights, d the smaller of `decay` in (0, 1)
    and (1 + t) / (10 + t), which soon forgets the random first weights (as TensorFlow does).
    """

    def __init__(self, vae: VAE, decay: float) -> None:
        self.decay = decay
        self.vae = copy.deepcopy(vae).requires_grad_(False).eval()
        pairs = list(zip(self.vae.state_dict().values(), vae.state_dict().values(), strict=True))
        self._counters = [pair for pair in pairs if not pair[0].is_floating_point()]
        floating = [pair for pair in pairs if pair[0].is_floating_point()]
        self._averages, self._weights = ([pair[i] for pair in floating] for i in (0, 1))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Follow the weights after update `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)
        for average, counter in self._counters:
            average.copy_(counter)


class Updater:
    """Changes the weights, and holds the state of everything that takes part in it.

    Of several processes each computes its rows of a batch and takes the same step: the gradient is
    that of the whole batch.

    Args:
        vae, objective: on `device`, as the batches.
        seed: of every draw made here.
        guard: checks every term and the norm of every gradient.
        adversary: needed where `loss.weights.adversarial` is above 0.
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
        self.vae, self.objective, self.config = vae, objective, config
        self.seed, self.device, self.guard = seed, device, guard
        self.rank, self.world = processes.rank(), processes.world()
        mistake = indivisible(config.batch_size, config.accumulate, self.world)
        if mistake is not None:
            raise mistake
        # Exchanges gradients while the backward pass is still running.
        self.parallel = DistributedDataParallel(vae) if self.world > 1 else vae
        self.forward: Callable[..., Any] = self.parallel
        if config.compile:
            torch.use_deterministic_algorithms(True)  # tells the compiler, too
            self.forward = torch.compile(self.parallel, dynamic=False)
        self.autocast = autocast(config.precision, device)
        self.optimizer = optimiser(vae, config)
        self.scheduler = None  # of each update; the plateau's is of each epoch, in `Trainer`
        if config.scheduler in ("cosine", "step"):
            options = objective.span, config.lr_warmup, config.lr_factor, config.lr_every
            self.scheduler = torch.optim.lr_scheduler.LambdaLR(
                self.optimizer, lambda step: lr_factor(config.scheduler, step, *options)
            )
        self.noise = generator(seed, _NOISE, device)
        # Of each batch, those that this process takes.
        self.rows = processes.rows(config.batch_size, config.accumulate, self.rank, self.world)
        self._rows_there = self.rows.to(device)
        self.contest = None
        if adversary is not None:
            shape = config.batch_size, config.accumulate
            self.contest = Contest(adversary, vae, objective, self._rows_there, *shape, seed)
        # A network of the user's own may draw what it likes, as long as it draws by torch.
        self.draws = vae.own or any(isinstance(m, nn.Dropout) and m.p > 0 for m in vae.modules())
        self.step = 0  # updates done
        self.controlled = torch.tensor(LEAST * objective.beta(), device=device)
        # Of the last update.
        self.used: dict[str, float | Tensor] = {"lr": config.lr, "beta": 0.0}

    def __call__(self, batch: Batch) -> Terms:
        """One step of each optimiser; the mean of each term as it was before the step.

        Beside the terms: `loss`, and `gradient`, its norm before clipping. Means are over this
        process's rows.
        """
        objective, step = self.objective, self.step
        controlled = objective.loss.kl_share > 0
        beta = self.controlled if controlled else objective.beta(step)
        contest = self.contest if self.contest is not None and self.contest.begun(step) else None
        pieces = self._pieces(batch)
        draws = [Draws()] * len(pieces) if contest is None else contest.draw(step)
        means, fakes, posteriors = [], [], []

        # Forward and backward, piece by piece; the gradients of the pieces add up.
        self.optimizer.zero_grad(set_to_none=True)
        for index, ((piece, noise), drawn) in enumerate(zip(pieces, draws, strict=True)):
            with self._backward_of(index):
                terms, images, posterior = measure(
                    self.forward, objective, self.autocast, piece, noise, drawn.codes
                )
                if contest is not None:
                    shown = contest.fakes(images, drawn)
                    fakes.append([kind.detach() for kind in shown])
                    terms |= contest.terms(piece.images, images, shown, step)
                kl = objective.regularisation(terms, beta).mean()
                reconstruction = objective.reconstruction(terms, step).mean()
                loss = reconstruction + kl
                if contest is None:
                    (loss / len(pieces)).backward()
                else:
                    adversarial = terms["adversarial"].mean()
                    pull, weight = contest.pull(images, reconstruction, adversarial, step)
                    loss = loss + weight * adversarial
                    torch.autograd.backward([images, kl / len(pieces)], [pull / len(pieces), None])
            means.append({n: t.detach().mean() for n, t in {**terms, "loss": loss}.items()})
            posteriors.append(posterior)
        found, norm = _mean(means), self._clip_gradient()

        # The step, which the device skips where a number is not finite.
        bad = self.guard.watch(step + 1, {**found, "gradient": norm})
        step_unless(self.optimizer, bad)

        # What the next step uses: the learning rate, and the beta of the controller.
        self.used = {"lr": float(self.optimizer.param_groups[0]["lr"]), "beta": beta}
        if self.scheduler is not None:
            self.scheduler.step()
        if controlled:
            self.controlled = self._next_beta(found)

        # The discriminator's step, on the very images that the decoder learned from.
        if contest is not None:
            reals = [piece.images for piece, _ in pieces]
            learned = contest.backward(reals, fakes, draws, step)
            step_unless(contest.adversary.optimizer, self.guard.watch(step + 1, learned))
            found |= learned
        if self.contest is not None:
            self.contest.follow(posteriors)
        self.step += 1
        return {**found, "gradient": norm}

    def _pieces(self, batch: Batch) -> list[tuple[Batch, Tensor]]:
        """The pieces of a batch, each with noise (b, Z) for its posterior."""
        count = self.config.accumulate
        # Every process draws the noise of the whole batch, and takes its rows of it.
        noise = self._draw(self.noise, self.config.batch_size)
        noise = noise[self._rows_there] if self.world > 1 else noise
        labels = [None] * count if batch.labels is None else batch.labels.chunk(count)
        parts = map(Batch, batch.images.chunk(count), labels)
        return list(zip(parts, noise.chunk(count), strict=True))

    @contextmanager
    def _backward_of(self, index: int) -> Iterator[None]:
        """Exchange gradients in the last piece alone, and seed what networks draw anew in each.

        Dropout takes no generator. Each process drops other units, so several do not equal one.
        """
        with ExitStack() as stack:
            last = index == self.config.accumulate - 1
            if isinstance(self.parallel, DistributedDataParallel) and not last:
                stack.enter_context(self.parallel.no_sync())
            if self.draws:
                piece = index * self.world + self.rank
                purpose = f"dropout {self.step}" + (f" {piece}" if piece else "")
                stack.enter_context(global_seed(self.seed, purpose))
            yield

    def _draw(self, random: torch.Generator, count: int) -> Tensor:
        return torch.randn(count, self.vae.latent_dim, generator=random, device=self.device)

    def noise_of(self, update: int) -> Tensor:
        """The noise (B, Z) of the whole batch of `update`, counted from 1; drawn again."""
        random = generator(self.seed, _NOISE, self.device)
        for _ in range(update):
            noise = self._draw(random, self.config.batch_size)
        return noise

    def _clip_gradient(self) -> Tensor:
        """The norm of the gradient before it was clipped."""
        weights = list(self.vae.parameters())
        norm = nn.utils.get_total_norm([w.grad for w in weights if w.grad is not None])
        if self.config.grad_clip > 0:
            nn.utils.clip_grads_with_norm_(weights, self.config.grad_clip, norm)
        return norm

    def _next_beta(self, found: Terms) -> Tensor:
        """The beta that brings the KL closer to `loss.kl_share` of the loss."""
        kl = self.objective.regularisation(found, self.controlled)
        share = share_of_kl(kl, self.objective.reconstruction(found, self.step) + kl)
        largest = torch.full_like(self.controlled, self.objective.beta(self.step))
        return next_beta(self.controlled, share, self.objective.loss.kl_share, largest)

    def _stateful(self) -> dict[str, Any]:
        parts = {
            "vae": self.vae, "optimizer": self.optimizer,
            "scheduler": self.scheduler, "contest": self.contest,
        }  # fmt: skip
        return {name: part for name, part in parts.items() if part is not None}

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs, as tensors and plain values."""
        return {
            **{name: part.state_dict() for name, part in self._stateful().items()},
            "noise": self.noise.get_state(),
            "step": self.step,
            "controlled": self.controlled,
            "used": dict(self.used),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from what `state_dict` gave."""
        for name, part in self._stateful().items():
            part.load_state_dict(state[name])
        self.noise.set_state(state["noise"])
        self.step, self.used = state["step"], dict(state["used"])
        self.controlled = state["controlled"].to(self.device)


def _mean(pieces: list[Terms]) -> Terms:
    """The mean of each term over pieces of equal size."""
    if len(pieces) == 1:
        return pieces[0]
    return {name: torch.stack([piece[name] for piece in pieces]).mean() for name in pieces[0]}
