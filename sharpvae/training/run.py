"""A training from its first record to its last, in one process or several."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType

import torch

from sharpvae.core.artefacts import Artefact, load_artefact
from sharpvae.core.config import NonNegative, flatten, text
from sharpvae.core.console import INTERRUPTED, bar
from sharpvae.core.devices import describe
from sharpvae.core.errors import UserError
from sharpvae.core.files import force, fresh_directory, require_writable, write_json
from sharpvae.core.system import placed
from sharpvae.core.weights import save_weights
from sharpvae.distributed.processes import broadcast, handled, is_first, launched, world
from sharpvae.images.packed import load_card
from sharpvae.objective.objective import beta_sigma
from sharpvae.training.build import PREPARED, build, summary
from sharpvae.training.checkpoints import Checkpoints, open_checkpoints, register, resume, root
from sharpvae.training.config import TrainStage
from sharpvae.training.faults import NotFinite, is_out_of_memory, out_of_memory
from sharpvae.training.loggers import LoggedRun, open_loggers
from sharpvae.training.loop import Epoch, Step, Trainer
from sharpvae.training.validate import Film
from sharpvae.training.watch import Watch
from sharpvae.vae.vae import save_vae

# Ctrl-C; what schedulers and `kill` send before they use force; a closed terminal.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PARENT = os.getppid()  # who started this process
_COURTESY = 8.0  # seconds, in which a process that reports the same has ended
NOTHING, SAVE, STOP = range(3)
HISTORY = ("epoch", "step", "split", "term", "value")
# In the directory of the checkpoints, until training has come to its end:
FILM = "film"
SECONDS = "seconds.json"  # of all runs up to the last checkpoint
FIRST = "first.safetensors"  # the weights that `before` ended with


class Spent(Artefact):
    """seconds.json"""

    seconds: NonNegative


@contextmanager
def put_off() -> Iterator[list[int]]:
    """Within the block a first signal is only noted; a second one interrupts at once.

    Signals that are ignored stay so, as SIGINT in a background job or SIGHUP under nohup. One of
    several processes only ever notes, ignored signals too: SLURM and the launcher may both ask it
    to end, and the launcher kills what does not. Call it in the main thread.

    Yields:
        The signals that came.
    """
    noted: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if noted and not launched():
            raise KeyboardInterrupt
        noted.append(number)

    used = [n for n in SIGNALS if launched() or signal.getsignal(n) is not signal.SIG_IGN]
    with handled(dict.fromkeys(used, note)):
        yield noted


@contextmanager
def errors_once(config: TrainStage) -> Iterator[None]:
    """Let rank 0 report a mistake that all processes have met.

    Raises:
        UserError: there are more processes, or fewer, than configured.
    """
    wanted = config.train.processes
    try:
        if world() != wanted:
            raise UserError(
                f"variants.{config.variant}.train.devices",
                f"{wanted} processes (train.devices * train.nodes)",
                f"{world()}, started by torchrun",
                "start as many, or set train.devices and train.nodes",
            )
        yield
    except UserError:
        if not is_first():
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # by which the launcher ends this process
            time.sleep(_COURTESY)
        raise


def train(config: TrainStage, seed: int, device: torch.device) -> None:
    """Train in this process, which may be one of several."""
    if is_first():
        for output in outputs(config, seed):
            require_writable(output)
    start = None if config.before is None else train_first(config, seed, device)
    with enough_memory(config):
        trainer = build(config, seed, device, start)
    checkpoints, ticket = open_checkpoints(config, seed, device)
    with enough_memory(config), mishaps(config, trainer, checkpoints):
        if not is_first():
            resume(trainer, checkpoints)
            follow(trainer)
            return
        announce(config, seed, trainer)
        with checkpoints.held():
            resume(trainer, checkpoints)
            run_id = register(checkpoints, trainer, ticket).id
            lead(trainer, config, checkpoints, run_id)
            write(config, trainer, checkpoints.directory / FILM)
            checkpoints.remove()


def train_first(config: TrainStage, seed: int, device: torch.device) -> Path:
    """Train as `before` says, unless that is done, and return the file of the weights it keeps.

    It lies beside the checkpoints of what follows. Optimiser, schedules and discriminator are not
    handed on.
    """
    first = config.first_phase()
    checkpoints, _ = open_checkpoints(config, seed, device)
    path = checkpoints.directory / FIRST
    with checkpoints.held() if is_first() else nullcontext():
        if not broadcast(int(path.exists())):
            with enough_memory(first):
                trainer = build(first, seed, device)
            own, ticket = open_checkpoints(first, seed, device)
            with (
                enough_memory(first),
                mishaps(first, trainer, own),
                own.held() if is_first() else nullcontext(),
            ):
                if is_first():
                    announce(first, seed, trainer, "first, as `before` says")
                resume(trainer, own)
                if is_first():
                    seconds = lead(trainer, first, own, register(own, trainer, ticket).id)
                    write_json(path.with_name(SECONDS), {"seconds": seconds})
                    unfinished = path.with_suffix(".unfinished")
                    save_weights(unfinished, trainer.kept())
                    force(unfinished)
                    unfinished.replace(path)
                    own.remove()
                else:
                    follow(trainer)
            broadcast(0)  # the file is there
    return path


def lead(trainer: Trainer, config: TrainStage, checkpoints: Checkpoints, run_id: str) -> float:
    """Train as rank 0, which logs, films and saves.

    Returns:
        The seconds that it took, in all runs.

    Raises:
        KeyboardInterrupt: a signal asked for it; after a last checkpoint.
    """
    frames, every = checkpoints.directory / FILM, config.train.film_every
    done = trainer.update.step
    epochs = None if done == 0 else len(trainer.history)
    film = Film(frames, every, trainer.validation, trainer.seed, epochs)
    live = Path("reports/live") / config.variant / str(trainer.seed)
    live.mkdir(parents=True, exist_ok=True)  # an output of the stage, with or without curves
    settings = flatten(config.model_dump(exclude={"logging"}))
    run = LoggedRun(config.variant, trainer.seed, run_id, live, root() / "logs", settings, done)
    total = trainer.span.steps
    spent = checkpoints.directory / SECONDS
    earlier = (done > 0 or config.before is not None) and spent.exists()
    began = time.monotonic() - (load_artefact(spent, Spent).seconds if earlier else 0.0)
    with (
        put_off() as signals,
        open_loggers(config.logging, run) as loggers,
        bar("training", total, start=done, left=False) as progress,
    ):
        watch = Watch(trainer, film, loggers, progress)
        for event in trainer.run():
            if isinstance(event, Step):
                watch.step(event)
            else:
                watch.epoch(event)
            due = SAVE if trainer.finished or checkpoints.due() else NOTHING
            stopping = signals or orphaned()
            wish = agreed(event, STOP if stopping and not trainer.finished else due)
            if wish != NOTHING and checkpoints.save(trainer.update.step, trainer.state_dict()):
                write_json(spent, {"seconds": time.monotonic() - began})
            if wish == STOP:
                raise KeyboardInterrupt(f"in epoch {trainer.epoch}; dvc repro goes on from here")
    seconds = time.monotonic() - began
    cost = {"seconds": round(seconds, 1), "device": describe(trainer.train.device)}
    write_json(live / "cost.json", cost)
    if trainer.history[-1].stopped_early:
        chosen = f"best validation {trainer.config.best_by} in epoch {trainer.best.epoch}"
        print(f"  stopped early: {chosen}", flush=True)
    return seconds


def orphaned() -> bool:
    """Whether DVC, which started this process, has died and would never take in its outputs.

    The next `dvc repro` removes them and goes on from the checkpoint. Without DVC, a training may
    well outlive the shell that began it.
    """
    return "DVC_ROOT" in os.environ and not launched() and os.getppid() != _PARENT


def follow(trainer: Trainer) -> None:
    """Train as another rank: compute, and write nothing."""
    for event in trainer.run():
        wish = agreed(event, NOTHING)
        if wish != NOTHING:
            trainer.state_dict()  # to which every process has a part to add
        if wish == STOP:
            raise SystemExit(INTERRUPTED)


def agreed(event: Step | Epoch, wish: int) -> int:
    """What all processes do after this record: NOTHING, SAVE, or save and STOP.

    Of several, rank 0 decides, at the records where all look at the numbers anyway.
    """
    if world() == 1:
        return wish
    if isinstance(event, Step) and event.numbers is None:
        return NOTHING
    return int(broadcast(wish))


def outputs(config: TrainStage, seed: int) -> tuple[Path, Path]:
    """The folders of the film and of the model, which appear when training is done."""
    run = Path(config.variant) / str(seed)
    return Path("reports/film") / run, Path("models") / run


def announce(config: TrainStage, seed: int, trainer: Trainer, which: str = "") -> None:
    """Print the effective configuration, beta_sigma in front."""
    train = trainer.train
    parameters = sum(weight.numel() for weight in trainer.vae.parameters())
    shape = f"{train.image_size}x{train.image_size}x{train.channels}"
    scale = beta_sigma(config.loss, train.pixels, config.model.latent_dim)
    comes = config.loss.weights.gaussian > 0 or config.loss.kl_share > 0
    unknown = "comes with training" if comes else "undefined: no squared error"
    kl = unknown if scale is None else f"{scale:.4g}"
    name = f"{config.variant}, {which}" if which else config.variant
    print(f"training {name}, seed {seed}, on {describe(train.device)}")
    print(f"  {train.count} images of {shape}, {parameters:,} parameters")
    print(f"  beta_sigma {kl} (weight of the KL against the squared error, both summed)")
    for section in ("model", "loss", "train"):
        settings = flatten(config.model_dump()[section])
        line = ", ".join(f"{key} {text(value)}" for key, value in settings.items())
        print(f"  {section}: {line}")
    print(end="", flush=True)


def write(config: TrainStage, trainer: Trainer, frames: Path) -> None:
    """Write the outputs: models/<variant>/<seed> and reports/film/<variant>/<seed>."""
    states = trainer.weights()
    other = "last" if config.train.keep == "best" else "best"
    films, models = outputs(config, trainer.seed)
    with fresh_directory(films) as film, fresh_directory(models) as directory:
        shutil.copytree(frames, film, dirs_exist_ok=True)
        train = trainer.train
        save_vae(directory, trainer.kept(), config.model, train.channels, train.image_size)
        trainer.vae.load_state_dict(states[other])
        save_weights(directory / f"{other}.safetensors", trainer.vae)
        write_json(directory / "summary.json", summary(config, trainer))
        history = directory / "history.csv"
        with history.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(HISTORY)
            for record in trainer.history:
                rows.writerows((*row[:-1], f"{row[-1]:.8g}") for row in record.rows())
        for path in (*film.rglob("*"), *directory.rglob("*")):
            force(path)  # before the checkpoints, their only other copy, are removed


@contextmanager
def enough_memory(config: TrainStage) -> Iterator[None]:
    """Say what takes how much where the memory is too small for what the block does."""
    try:
        yield
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        card = load_card(PREPARED)
        shape, classes = (card.channels, card.image_size), len(card.class_names or ())
        raise out_of_memory(config, shape, classes, error) from error


@contextmanager
def mishaps(config: TrainStage, trainer: Trainer, checkpoints: Checkpoints) -> Iterator[None]:
    """Word the errors that are not the program's fault; keep evidence of what is not finite."""
    try:
        with placed(checkpoints.directory):
            yield
    except NotFinite as error:
        path = checkpoints.directory / "not_finite.pt"
        if is_first():
            with suppress(OSError):  # on a full disk: the message matters more
                torch.save(trainer.evidence(error), path)
                error.add(f"its batch, noise and weights are in {path} (docs/training.md)")
        raise
    except Exception as error:
        origin = {base.__module__.partition(".")[2].split(".")[0] for base in type(error).__mro__}
        if config.train.compile and origin & {"_dynamo", "_inductor"}:
            raise UserError(
                f"variants.{config.variant}.train.compile",
                "what torch.compile needs, on a CPU a C++ compiler",
                " ".join(str(error).split())[:200],
                "install it, or set train.compile: false",
            ) from error
        raise
