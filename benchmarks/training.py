"""How fast the engine trains, against Pythae's trainer and a plain PyTorch loop, and the limit.

    python -m benchmarks.training            a quarter of an hour; writes benchmarks/training.md
    python -m benchmarks.training --quick    one network, few turns, prints only

Needs pip install -e '.[bench]'. All candidates have the same network, images, batches, objective
(squared error + KL, summed) and Adam. Each has a process of its own and they take turns, an epoch
each, so that all run under the same load. Other work on the machine shows in the spread.

On a GPU networks are eight times as wide, batches four times as large, and a table compares the
time of an update with that of its kernels. That part has not been run.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from apps.describe import layers
from benchmarks.measuring import SPAWN, machine, markdown, matrix_rate, run, spread
from sharpvae.config.resolve import resolve_file
from sharpvae.core.devices import keep_memory, select
from sharpvae.core.errors import UserError
from sharpvae.core.seeds import global_seed
from sharpvae.images.feed import Feed
from sharpvae.images.packed import Split
from sharpvae.objective.config import LossWeights
from sharpvae.objective.objective import Objective
from sharpvae.objective.schedules import Span
from sharpvae.objective.terms import squared_error
from sharpvae.training.loop import Step, Trainer
from sharpvae.vae.vae import VAE, kl_per_dimension

Tick = Callable[[], None]  # called when an update is done
Epoch = Callable[[], None]  # a pass over the images
Candidate = Callable[["Task", Tick], Epoch]
PARAMS = Path(__file__).parents[1] / "params.yaml"
LR = 1e-4
FOREVER = 10**6  # epochs
TURNS = 9
MATRIX = "matrix products"  # the candidate that multiplies matrices: the limit


@dataclass(frozen=True)
class Task:
    """What is trained."""

    network: str  # a variant of params.yaml, whose `model` section counts
    size: int  # of the images, a side
    channels: int  # of the images
    width_scale: float  # of the network
    batch: int  # images an update
    steps: int  # updates an epoch, at least 2
    device: str  # cpu or cuda

    def __str__(self) -> str:
        return f"{self.network} {self.size}x{self.size}x{self.channels}"

    def images(self) -> NDArray[np.uint8]:
        """Noise, uint8 (batch * steps, size, size, channels); nothing learned counts here."""
        shape = (self.batch * self.steps, self.size, self.size, self.channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def floats(self) -> Tensor:
        """The images as the others want them: float32 (N, C, H, W) in [0, 1]."""
        return (torch.from_numpy(self.images()).permute(0, 3, 1, 2).float() / 255).contiguous()

    def vae(self) -> VAE:
        """The network on the device, in training mode."""
        model = resolve_file(PARAMS).experiment.variants[self.network].model
        with global_seed(0, "weights"):
            scaled = model.model_copy(update={"width_scale": self.width_scale})
            return VAE(scaled, self.channels, self.size).to(self.device).train()


def plain(
    task: Task, tick: Tick, channels_last: bool = False, fused: bool = False, keep: bool = False
) -> Epoch:
    """A simple loop over a DataLoader of float images in memory.

    `fused`: Adam's update is one kernel; `keep`: the process keeps freed memory, as in `train`.
    """
    if keep:
        keep_memory()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    vae = task.vae().to(memory_format=layout)
    loader = DataLoader(TensorDataset(task.floats()), task.batch, shuffle=True)
    optimizer = torch.optim.Adam(vae.parameters(), LR, fused=fused)

    def epoch() -> None:
        total = 0.0
        for (images,) in loader:
            images = images.to(task.device, memory_format=layout)
            noise = torch.randn(len(images), vae.latent_dim, device=task.device)
            reconstructions, posterior = vae(images, noise)
            nats = kl_per_dimension(*posterior).sum(1)
            loss = (squared_error(images, reconstructions) + nats).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            tick()

    return epoch


def pythae(task: Task, tick: Tick) -> Epoch:
    """The BaseTrainer of Pythae 0.1.2 (Chadebec et al. 2022) around the same network.

    Its objective is half the squared error + KL, which costs the same.
    """
    from pythae import models
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler

    vae = task.vae()

    def part(base: Any, inner: Any, names: Sequence[str]) -> Any:
        class Part(base):  # type: ignore[misc]
            def __init__(self) -> None:
                super().__init__()
                self.inner, self.latent_dim = inner, vae.latent_dim

            def forward(self, inputs: Tensor) -> Any:
                found = self.inner(inputs)
                found = found if isinstance(found, tuple) else (found,)
                return ModelOutput(zip(names, found, strict=True))

        return Part()

    encoder = part(BaseEncoder, vae.encoder, ("embedding", "log_covariance"))
    decoder = part(BaseDecoder, vae.decoder, ("reconstruction",))
    logging.disable(logging.CRITICAL)
    shape = (task.channels, task.size, task.size)
    config = models.VAEConfig(input_dim=shape, latent_dim=vae.latent_dim)
    model, images = models.VAE(config, encoder, decoder), task.floats()
    settings = BaseTrainerConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=task.batch,
        num_epochs=FOREVER, learning_rate=LR, no_cuda=task.device == "cpu",
    )  # fmt: skip
    trainer = BaseTrainer(model, BaseDataset(images, torch.ones(len(images))), None, settings)
    trainer.prepare_training()
    trainer.optimizer.register_step_post_hook(lambda *_: tick())
    trainer.callback_handler = CallbackHandler([], model)  # without its progress bars
    counter = itertools.count(1)
    return lambda: trainer.train_step(next(counter))


def engine(
    task: Task, tick: Tick, precision: str = "fp32", compiled: bool = False, keep: bool = True,
    huge_pages: bool = False, flush: bool = False,
) -> Epoch:  # fmt: skip
    """This project's loop, through its public interface; `flush`: denormals count as 0."""
    if huge_pages:
        os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # PyTorch reads it at its first large allocation
    if flush:
        torch.set_flush_denormal(True)
    if keep:
        keep_memory()
    records = trainer(task, task.images(), precision, compiled).run()
    steps = (record for record in records if isinstance(record, Step))

    def epoch() -> None:
        for _ in itertools.islice(steps, task.steps):
            tick()

    return epoch


def trainer(
    task: Task, images: NDArray[np.uint8], precision: str = "fp32", compiled: bool = False
) -> Trainer:
    """The engine on `images`, with squared error + KL from the first update; a batch validates."""
    device, variant = select(task.device), resolve_file(PARAMS).experiment.variants[task.network]
    train = Feed(Split(images, None), device)
    validation = Feed(Split(images[: task.batch], None), device)
    config = variant.train.model_copy(update={
        "epochs": FOREVER, "updates": None, "batch_size": task.batch, "lr": LR, "optimizer": "adam",
        "weight_decay": 0.0, "scheduler": "none", "grad_clip": 0.0, "early_stop_patience": 0,
        "keep": "last", "best_by": "loss", "ema": 0.0, "flip": False, "precision": precision,
        "compile": compiled, "accumulate": 1, "devices": 1, "nodes": 1,
    })  # fmt: skip
    at_once = {"shape": "constant", "start": 0.0, "length": 0.0, "cycle": 0.0}
    beta = variant.loss.schedules.beta.model_copy(update=at_once)
    loss = variant.loss.model_copy(update={
        "beta": 1.0, "reduction": "sum", "kl_reduction": "sum", "reconstruction_weight": 1.0,
        "kl_floor": 0.0, "free_bits": 0.0, "kl_share": 0.0, "weights": LossWeights(mse=1.0),
        "schedules": variant.loss.schedules.model_copy(update={"beta": beta}),
    })  # fmt: skip
    vae, span = task.vae(), Span(train.count // task.batch, FOREVER)
    objective = Objective(loss, train.pixels, vae.latent_dim, span, None)
    return Trainer(vae, objective.to(device), config, train, validation, 0, "benchmark")


CANDIDATES: dict[str, Candidate] = {
    "pythae": pythae,
    "plain": plain,
    "engine": engine,
    "engine, bf16": partial(engine, precision="bf16"),
    "engine, compiled": partial(engine, compiled=True),
}
# What single settings bring: to the plain loop, and to the engine, whose own the first three are.
SETTINGS: dict[str, Candidate] = {
    "plain": plain,
    "plain, channels last": partial(plain, channels_last=True),
    "plain, fused Adam": partial(plain, fused=True),
    "plain, memory kept": partial(plain, keep=True),
    "engine": engine,
    "engine, memory given back": partial(engine, keep=False),
    "engine, huge pages": partial(engine, huge_pages=True),
    "engine, denormals flushed": partial(engine, flush=True),
}


def turns(candidate: Candidate, task: Task) -> Iterator[float]:
    """Images a second in each epoch, without its first update and what comes between epochs."""
    ends: list[float] = []
    done = itertools.count()

    def tick() -> None:
        if next(done) % task.steps in (0, task.steps - 1):
            if task.device == "cuda":
                torch.cuda.synchronize()
            ends.append(time.perf_counter())

    epoch = candidate(task, tick)
    while True:
        epoch()
        first, last = ends[-2:]
        yield task.batch * (task.steps - 1) / (last - first)


@cache
def begun(name: str, task: Task) -> Iterator[float]:
    """The turns of a candidate in its process, or what the matrix products reach."""
    if name == MATRIX:
        return (matrix_rate(task.device) for _ in itertools.count())
    return turns((CANDIDATES | SETTINGS)[name], task)


def take_turn(name: str, task: Task) -> float:
    """The next turn of a candidate, in the process that has made its turns before."""
    return next(begun(name, task))


def measure(task: Task, names: Iterable[str], repeats: int) -> dict[str, list[float]]:
    """Images a second (multiply-adds a second of the matrix products), a number a turn each."""
    found: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        processes = [stack.enter_context(ProcessPoolExecutor(1, SPAWN)) for _ in found]
        for turn in range(repeats + 1):
            for process, (name, rates) in zip(processes, found.items(), strict=True):
                rate = process.submit(take_turn, name, task).result()
                if turn:  # the first compiles, fills caches, allocates its memory
                    rates.append(rate)
    return found


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Median over the turns of the ratio within one turn, under one load."""
    return f"{statistics.median(one / other for one, other in zip(ours, theirs, strict=True)):.2f}"


def limit(task: Task, found: dict[str, list[float]]) -> list[str]:
    """What an update costs, what the machine can do, and the share that the engine reaches."""
    # Forward pass, gradient of the weights, gradient of each layer's inputs except the images.
    cost = [layer.multiply_adds for layer in layers(task.vae(), task.channels, task.size)]
    work, best = 3 * sum(cost) - next(filter(None, cost)), max(found[MATRIX])
    reached = work * statistics.median(found["engine"])
    return [
        str(task), f"{work / 1e6:.2f}", f"{best / 1e9:,.0f}", f"{best / work:,.0f}",
        f"{reached / 1e9:,.1f}", f"{reached / best:.0%}",
    ]  # fmt: skip


def kernel_share(task: Task, candidate: Candidate) -> float:
    """Time of an update over that of its kernels, on a GPU; 1: it never waits for Python."""
    rates = turns(candidate, task)
    next(rates)
    wall = task.batch / next(rates)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        next(rates)
    kernels = sum(event.self_device_time_total for event in profile.key_averages()) / 1e6
    return wall / (kernels / task.steps)


def page(options: argparse.Namespace) -> Iterator[str]:
    """The paragraphs of the results as Markdown."""
    if importlib.util.find_spec("pythae") is None:
        raise UserError(
            "benchmarks.training", "the package pythae, to compare with", "no such package",
            "pip install -e '.[bench]'",
        )  # fmt: skip
    device = select(options.device)
    cuda = device.type == "cuda"
    width, batch = (1.0, 256) if cuda else (0.125, 64)
    todo = [
        Task(network, size, channels, width, batch, 1600 // size, device.type)
        for network in ("original", "improved")
        for size, channels in ((32, 1), (64, 3))
        if not options.quick or (network, size) == ("improved", 32)
    ]
    repeats = 3 if options.quick else TURNS
    yield "# Training"
    yield (
        "Made by `python -m benchmarks.training`. Images/s: median (least-most) of "
        f"{repeats} turns of each candidate in\na process of its own; ratios: median over the "
        "turns. Same network, batches, objective and Adam; fp32 but where\nit says bf16. "
        "See docs/performance.md."
    )
    yield f"{machine(device)}\nBatches of {batch}, width_scale {width:g}."
    compared = [(task, measure(task, [*CANDIDATES, MATRIX], repeats)) for task in todo]
    rows = [
        [task, name, spread(rates), ratio(rates, found["pythae"]), ratio(rates, found["plain"])]
        for task, found in compared
        for name, rates in found.items()
        if name != MATRIX
    ]
    head = ["network, images", "candidate", "images/s", "against Pythae", "against plain"]
    yield markdown(head, rows)
    yield "## The limit"
    about = "Multiply-adds of an update against the fastest product of float32 matrices"
    yield f"{about} on this machine."
    head = ["network, images", "10^6 multiply-adds an image", "matrices, 10^9/s", "images/s then"]
    yield markdown([*head, "engine, 10^9/s", "share"], [limit(*pair) for pair in compared])
    yield "## Single settings"
    rows = [
        [task, name, spread(values), ratio(values, found[name.partition(",")[0]])]
        for task in todo
        for found in [measure(task, SETTINGS, repeats)]
        for name, values in found.items()
    ]
    yield markdown(["network, images", "loop", "images/s", "against the first"], rows)
    if cuda:
        yield "## Time of an update over that of its kernels"
        rows = [
            [task, name, f"{kernel_share(task, CANDIDATES[name]):.2f}"]
            for task in todo
            for name in ("engine", "engine, bf16")
        ]
        yield markdown(["network, images", "candidate", "ratio"], rows)


if __name__ == "__main__":
    sys.exit(run("training", __doc__, page, devices=("auto", "cpu", "cuda")))
