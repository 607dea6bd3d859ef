"""The sections `train` and `logging`."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from sharpvae.core.config import Count, Fraction, NonNegative, Positive, Section
from sharpvae.core.errors import UserError
from sharpvae.objective.config import LossConfig
from sharpvae.objective.schedules import Span
from sharpvae.vae.config import ModelConfig

MOST_EPOCHS = 100  # of a training whose budget is updates


class TrainConfig(Section):
    """Optimiser, schedule, stopping, machines. 0 switches off clipping, stopping, average, film.

    Either `epochs` or `updates` is set, and says how long a training is; see `span`.
    """

    alternatives: ClassVar[tuple[str, ...]] = ("epochs", "updates")

    epochs: Count | None
    updates: Count | None
    lr: Positive
    batch_size: Annotated[int, Field(ge=2)]
    optimizer: Literal["adam", "adamw", "lion", "adan", "muon"]
    weight_decay: NonNegative
    scheduler: Literal["none", "plateau", "cosine", "step"]
    lr_factor: Fraction
    lr_patience: Annotated[int, Field(ge=0)]
    lr_every: Count
    lr_warmup: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
    grad_clip: NonNegative
    early_stop_patience: Annotated[int, Field(ge=0)]
    keep: Literal["best", "last"]
    best_by: Literal["loss", "fid"]
    fid_every: Count
    ema: Annotated[float, Field(ge=0, lt=1)]
    flip: bool
    precision: Literal["auto", "fp32", "bf16"]
    compile: bool
    accumulate: Count
    devices: Count
    nodes: Count
    checkpoint_every: NonNegative
    film_every: Annotated[int, Field(ge=0)]

    @model_validator(mode="after")
    def _one_budget(self) -> TrainConfig:
        if (self.epochs is None) == (self.updates is None):
            raise ValueError("one of epochs and updates, and the other one null")
        return self

    def span(self, images: int) -> Span:
        """How long a training on `images` is, at least one batch of them.

        An epoch is one pass over the images. `updates` are rounded up to whole epochs, each of so
        many passes that there are at most `MOST_EPOCHS`: epochs are what validation, patience and
        the film count, and a few hundred images pass by in moments.
        """
        steps = images // self.batch_size
        if self.epochs is not None:
            return Span(steps, self.epochs)
        assert self.updates is not None  # by `_one_budget`
        passes = -(-self.updates // steps)
        steps *= -(-passes // MOST_EPOCHS)
        return Span(steps, -(-self.updates // steps))

    @property
    def processes(self) -> int:
        """How many processes train together, on all machines."""
        return self.devices * self.nodes


def indivisible(
    batch_size: int,
    accumulate: int,
    processes: int,
    where: str = "train.batch_size",
    factors: str | None = None,
) -> UserError | None:
    """The mistake of a batch without a whole number of rows for each piece and process.

    `where` is the key of the batch size, `factors` names the keys that divide it.
    """
    parts = accumulate * processes
    if batch_size % parts == 0:
        return None
    if factors is None:
        factors = f"train.accumulate {accumulate} x {processes} processes"
        factors += " (train.devices x train.nodes)"
    remedy = f"set it to {max(1, round(batch_size / parts)) * parts}"
    return UserError(where, f"a multiple of {parts}: {factors}", str(batch_size), remedy)


class Before(Section):
    """What a VAE is trained with first; `loss` and `train` of its variant then go on."""

    loss: LossConfig
    train: TrainConfig


class LoggingConfig(Section):
    """Which loggers record a training, and after how many updates each time."""

    every: Count
    dvclive: bool
    tensorboard: bool
    wandb: Literal["offline", "online"] | None


class TrainStage(Section):
    """configs/<variant>/train.json

    `threads` are those of a machine, which its processes share.

    `code` is the digest of a network of the user's own, on which its weights depend; not written
    for our families, whose code is a dependency of the stage. Nor is `before` without one.
    """

    variant: str
    model: ModelConfig
    loss: LossConfig
    train: TrainConfig
    logging: LoggingConfig
    device: str
    threads: Count
    code: str | None = Field(default=None, exclude_if=lambda value: value is None)
    before: Before | None = Field(default=None, exclude_if=lambda value: value is None)

    def first_phase(self) -> TrainStage:
        """The training that `before` says, without film and loggers."""
        assert self.before is not None
        quiet = {"dvclive": False, "tensorboard": False, "wandb": None}
        return self.model_copy(
            update={
                "loss": self.before.loss,
                "train": self.before.train.model_copy(update={"film_every": 0}),
                "logging": self.logging.model_copy(update=quiet),
                "before": None,
            }
        )
