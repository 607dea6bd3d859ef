"""The ways to train one VAE whose speed `benchmarks.training` compares.

All have the same network, images, batches, objective (squared error + KL, summed) and Adam. Each is
an `Epoch`: a function that makes one pass over the images and calls `tick` after every update.
"""

from __future__ import annotations

import itertools
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.measuring import synchronise
from sharpvae.config.experiment import Experiment
from sharpvae.config.resolve import resolve_file
from sharpvae.core.devices import keep_memory, select
from sharpvae.core.seeds import global_seed
from sharpvae.images.feed import Feed
from sharpvae.images.packed import Split
from sharpvae.objective.config import LossConfig
from sharpvae.objective.objective import Objective
from sharpvae.objective.schedules import Span
from sharpvae.objective.terms import squared_error
from sharpvae.training.loop import Step, Trainer
from sharpvae.vae.vae import VAE, kl_per_dimension

Epoch = Callable[[Callable[[], None]], None]

PARAMS = Path(__file__).parents[1] / "params.yaml"
LR = 1e-4
FOREVER = 10**6  # epochs


@dataclass(frozen=True)
class Task:
    """What is trained.

    Attributes:
        network: a variant of params.yaml, whose `model` section counts.
        size, channels: of the images.
        width_scale: of the network.
        batch: images an update.
        steps: updates an epoch, at least 2.
        device: `cpu` or `cuda`.
    """

    network: str
    size: int
    channels: int
    width_scale: float
    batch: int
    steps: int
    device: str

    def images(self) -> NDArray[np.uint8]:
        """Noise, uint8 (batch * steps, size, size, channels); nothing learned counts here."""
        shape = (self.batch * self.steps, self.size, self.size, self.channels)
        return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    def vae(self) -> VAE:
        """The network on the device, in training mode."""
        model = _experiment().variants[self.network].model
        with global_seed(0, "weights"):
            vae = VAE(
                model.model_copy(update={"width_scale": self.width_scale}), self.channels, self.size
            )
        return vae.to(self.device).train()


def _experiment() -> Experiment:
    return resolve_file(PARAMS).experiment


def plain(task: Task, channels_last: bool = False, fused: bool = False) -> Epoch:
    """The loop that one writes first, over a DataLoader of float images in memory.

    Args:
        channels_last: with weights and images laid out so.
        fused: with Adam's update in one kernel.
    """
    vae = task.vae()
    layout = torch.channels_last if channels_last else torch.contiguous_format
    vae = vae.to(memory_format=layout)
    loader = DataLoader(TensorDataset(_floats(task)), task.batch, shuffle=True)
    optimizer = torch.optim.Adam(vae.parameters(), LR, fused=fused)

    def epoch(tick: Callable[[], None]) -> None:
        total = 0.0
        for (images,) in loader:
            images = images.to(task.device, memory_format=layout)
            noise = torch.randn(len(images), vae.latent_dim, device=task.device)
            reconstructions, posterior = vae(images, noise)
            loss = (
                squared_error(images, reconstructions).mean()
                + kl_per_dimension(*posterior).sum(1).mean()
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item()
            tick()

    return epoch


def pythae(task: Task) -> Epoch:
    """The BaseTrainer of Pythae 0.1.2 (Chadebec et al. 2022) around the same network.

    Its objective is half the squared error + KL, which costs the same.
    """
    from pythae import models
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import CallbackHandler, TrainingCallback

    vae = task.vae()

    class Encoder(BaseEncoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.latent_dim = vae.encoder, vae.latent_dim

        def forward(self, images: Tensor) -> Any:
            posterior = self.inner(images)
            return ModelOutput(embedding=posterior.mean, log_covariance=posterior.log_var)

    class Decoder(BaseDecoder):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.inner = vae.decoder

        def forward(self, latents: Tensor) -> Any:
            return ModelOutput(reconstruction=self.inner(latents))

    class Ticking(TrainingCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.tick: Callable[[], None] = lambda: None

        def on_train_step_end(self, training_config: Any, **kwargs: Any) -> None:
            self.tick()

    logging.disable(logging.CRITICAL)
    shape = (task.channels, task.size, task.size)
    model = models.VAE(
        models.VAEConfig(input_dim=shape, latent_dim=vae.latent_dim), Encoder(), Decoder()
    )
    images = _floats(task)
    trainer = BaseTrainer(
        model,
        BaseDataset(images, torch.ones(len(images))),
        None,
        BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(), per_device_train_batch_size=task.batch,
            num_epochs=FOREVER, learning_rate=LR, no_cuda=task.device == "cpu",
        ),
    )  # fmt: skip
    trainer.prepare_training()
    ticking, counter = Ticking(), itertools.count(1)
    trainer.callback_handler = CallbackHandler([ticking], model)  # without its progress bars

    def epoch(tick: Callable[[], None]) -> None:
        ticking.tick = tick
        trainer.train_step(next(counter))

    return epoch


def engine(task: Task, precision: str = "fp32", compiled: bool = False) -> Epoch:
    """This project's loop, through its public interface."""
    records = trainer(task, precision, compiled).run()

    def epoch(tick: Callable[[], None]) -> None:
        for record in records:
            if isinstance(record, Step):
                tick()
                if record.done == record.of:
                    return

    return epoch


def trainer(
    task: Task, precision: str = "fp32", compiled: bool = False,
    split: NDArray[np.uint8] | None = None,
) -> Trainer:  # fmt: skip
    """The engine on the images of `task`, or on those of `split`; one batch validates."""
    device, images = select(task.device), task.images() if split is None else split
    train = Feed(Split(images, None), device)
    validation = Feed(Split(images[: task.batch], None), device)
    settings = _experiment().variants[task.network].train.model_dump() | {
        "epochs": FOREVER, "batch_size": task.batch, "lr": LR, "optimizer": "adam",
        "weight_decay": 0.0, "scheduler": "none", "grad_clip": 0.0, "early_stop_patience": 0,
        "keep": "last", "best_by": "loss", "ema": 0.0, "flip": False, "precision": precision,
        "compile": compiled, "accumulate": 1, "devices": 1, "nodes": 1,
    }  # fmt: skip
    config = type(_experiment().variants[task.network].train).model_validate(settings)
    vae = task.vae()
    span = Span(train.count // task.batch, FOREVER)
    objective = Objective(_loss(task), train.pixels, vae.latent_dim, span, None).to(device)
    return Trainer(vae, objective, config, train, validation, 0, "benchmark")


def _loss(task: Task) -> LossConfig:
    """Squared error + KL, both summed, from the first update."""
    loss = _experiment().variants[task.network].loss.model_dump()
    at_once = {"shape": "constant", "start": 0.0, "length": 0.0, "cycle": 0.0}
    return LossConfig.model_validate(
        loss
        | {"beta": 1.0, "reduction": "sum", "kl_reduction": "sum", "reconstruction_weight": 1.0}
        | {"kl_floor": 0.0, "free_bits": 0.0, "kl_share": 0.0}
        | {"weights": dict.fromkeys(loss["weights"], 0.0) | {"mse": 1.0}}
        | {"schedules": {name: known | at_once for name, known in loss["schedules"].items()}}
    )


def _floats(task: Task) -> Tensor:
    """The images as the others want them: float32 (N, C, H, W) in [0, 1], in memory."""
    return (torch.from_numpy(task.images()).permute(0, 3, 1, 2).float() / 255).contiguous()


def _kept(build: Callable[..., Epoch], **settings: Any) -> Callable[[Task], Epoch]:
    """The candidate in a process that keeps its memory, as the stage `train` does."""

    def built(task: Task) -> Epoch:
        keep_memory()
        return build(task, **settings)

    return built


def _in_huge_pages(task: Task) -> Epoch:
    os.environ["THP_MEM_ALLOC_ENABLE"] = "1"  # PyTorch reads it at its first large allocation
    return _kept(engine)(task)


def _without_denormals(task: Task) -> Epoch:
    torch.set_flush_denormal(True)
    return _kept(engine)(task)


CANDIDATES: dict[str, Callable[[Task], Epoch]] = {
    "pythae": pythae,
    "plain": plain,
    "engine": _kept(engine),
    "engine, bf16": _kept(engine, precision="bf16"),
    "engine, compiled": _kept(engine, compiled=True),
}
# What single settings bring: to the plain loop, and to the engine, whose own the first three are.
SETTINGS: dict[str, Callable[[Task], Epoch]] = {
    "plain": plain,
    "plain, channels last": lambda task: plain(task, channels_last=True),
    "plain, fused Adam": lambda task: plain(task, fused=True),
    "plain, memory kept": _kept(plain),
    "engine": _kept(engine),
    "engine, memory given back": engine,
    "engine, huge pages": _in_huge_pages,
    "engine, denormals flushed": _without_denormals,
}


def turns(epoch: Epoch, task: Task) -> Iterator[float]:
    """Images a second, epoch by epoch.

    From the end of the first update to that of the last: what lies between two epochs, such as
    validation, counts for nobody.
    """
    device = torch.device(task.device)
    while True:
        ends: list[float] = []
        done = itertools.count(1)

        def tick(done: Iterator[int] = done, ends: list[float] = ends) -> None:
            if next(done) in (1, task.steps):
                synchronise(device)
                ends.append(time.perf_counter())

        epoch(tick)
        first, last = ends
        yield task.batch * (task.steps - 1) / (last - first)
