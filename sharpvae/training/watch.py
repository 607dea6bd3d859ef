"""What is shown while training: progress, pace, and warnings of posterior collapse."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from statistics import fmean

from sharpvae.core.collapse import NOTHING, collapsed
from sharpvae.core.console import Bar, clock
from sharpvae.core.devices import peak_memory
from sharpvae.objective.config import LossConfig
from sharpvae.training.loggers import Logger
from sharpvae.training.loop import Epoch, Step, Trainer
from sharpvae.training.validate import Film

_RECOVERED = 2 * NOTHING  # above it a collapse is over: a KL that hovers must not warn every epoch
_PATIENCE = 2  # epochs in which it must be seen: the first finds a code not learned yet
_FULL = 0.99  # of loss.beta; beta may come from a float32


class CollapseWatch:
    """Looks at the validation of each epoch; what it knows follows from the history alone.

    By the rule of `sharpvae.core.collapse`, from total KL and active units. Either alone would miss
    some: under free bits or a KL floor all images may have the same posterior at any KL; and the
    means of many dimensions may vary over images, yet less than noise.

    It gives no warning
    - where `loss.beta` is 0: without a KL, means may separate images at any scale;
    - while beta is below its full value (warm-up, cycle, controller): the KL will change;
    - of a small KL where `loss.kl_floor` or `loss.free_bits` make so much free.
    """

    def __init__(self, loss: LossConfig) -> None:
        self.loss = loss
        self.seen = 0  # epochs in a row
        self.warned = False

    def epoch(self, record: Epoch) -> str | None:
        """A warning, once; again only if the code recovered in between."""
        if self.loss.beta == 0:
            return None
        kl, active = record.validation["kl"], record.active_units
        free = max(self.loss.kl_floor, self.loss.free_bits * len(record.kl_per_dimension))
        fallen, _ = collapsed(kl if free < NOTHING else math.inf, active)
        if fallen:
            # What came before the full beta does not count, but does not end a collapse either.
            self.seen += record.beta >= _FULL * self.loss.beta
        else:
            self.seen = 0
        if kl > _RECOVERED and active > 0:
            self.warned = False
        if self.warned or self.seen < _PATIENCE:
            return None
        self.warned = True
        return self._warning(record)

    def _warning(self, record: Epoch) -> str:
        loss, schedule = self.loss, self.loss.schedules.beta
        rise = (
            "give beta a warm-up (loss.schedules.beta.shape: linear, and its length)"
            if schedule.shape == "constant"
            else f"lengthen loss.schedules.beta.length (now {schedule.length:g} {schedule.unit})"
        )
        share = f" or loss.kl_share (now {loss.kl_share:g})" if loss.kl_share > 0 else ""
        return (
            f"posterior collapse, seen in epoch {record.epoch}: the KL of the validation images is "
            f"{record.validation['kl']:.3g} nats, and {record.active_units} of "
            f"{len(record.kl_per_dimension)} latent dimensions are active. The code says next to "
            "nothing about the image, so all reconstructions and samples will look alike.\n"
            f"  do this: lower loss.beta (now {loss.beta:g}){share}; {rise}; "
            f"set loss.free_bits (now {loss.free_bits:g}, a dimension) "
            f"or loss.kl_floor (now {loss.kl_floor:g}), nats that cost nothing"
        )


_UPDATES = 1000  # of which the mean is taken: later ones cost more, once an adversary begins
_SPANS = 20  # between two looks at the numbers; the rate is the mean over so many
_ALL = object()  # the kind of every value


class Pace:
    """Predicts the time left from the mean time of each part of a training.

    An epoch is its first update, which waits for the loader and for what came after the last
    epoch's record; its other updates; and its end, which is validation, film and loggers. Only what
    this process did counts, without its very first update, in which torch.compile may run. Call
    `step` and `epoch` for every record, at the same point each time.

    Args:
        epochs, steps: of the whole training, and updates an epoch, >= 1.
        clock: seconds, never decreasing.
        kind: of an epoch by its number; ends of one kind, such as those with a FID, cost the same.
    """

    def __init__(
        self,
        epochs: int,
        steps: int,
        clock: Callable[[], float] = time.monotonic,
        kind: Callable[[int], Hashable] = lambda epoch: None,
    ) -> None:
        self.epochs, self.steps, self.clock, self.kind = epochs, steps, clock, kind
        self.at: float | None = None  # the last record, and where in the training that was:
        self.epoch_now, self.done, self.validated = 1, 0, False
        self.updates: deque[float] = deque(maxlen=_UPDATES)
        self.firsts, self.ends = _Means(), _Means()
        self.images = 0  # of the last update
        self.look: tuple[int, float] | None = None  # epoch and time of the last one at the numbers
        self.unseen = 0  # images since then
        self.spans: deque[tuple[float, int]] = deque(maxlen=_SPANS)

    def step(self, record: Step) -> None:
        """An update is done."""
        now = self.clock()
        if self.at is not None and record.done == 1:
            self.firsts.add(self.kind(record.epoch - 1), now - self.at)
        elif self.at is not None:
            self.updates.append(now - self.at)
        self.unseen += record.images
        if record.numbers is not None:
            if self.look is not None and self.look[0] == record.epoch:
                self.spans.append((now - self.look[1], self.unseen))
            self.look, self.unseen = (record.epoch, now), 0
        self.at, self.images = now, record.images
        self.epoch_now, self.done, self.validated = record.epoch, record.done, False

    def epoch(self, record: Epoch) -> None:
        """An epoch is done, and validated."""
        now = self.clock()
        if self.at is not None:
            self.ends.add(self.kind(record.epoch), now - self.at)
        self.at, self.epoch_now, self.done, self.validated = now, record.epoch, self.steps, True
        if record.last:
            self.epochs = record.epoch

    def left(self) -> float | None:
        """Seconds until training ends; None while too little is known.

        The ends of epochs count once one was seen.
        """
        now, end = self.epoch_now, self.epochs + 1
        update = fmean(self.updates) if self.updates else math.nan
        others = (end - now) * (self.steps - 1) - max(self.done - 1, 0)
        left = others * update if others > 0 else 0.0
        left += sum(self.firsts.mean(self.kind(epoch - 1), update) for epoch in range(now + 1, end))
        epochs = range(now + self.validated, end)
        left += sum(self.ends.mean(self.kind(epoch), 0.0) for epoch in epochs)
        return None if self.at is None or math.isnan(left) else left

    def rate(self) -> float | None:
        """Images a second while updates are done, all processes together; None at first.

        Taken between two looks at the numbers in one epoch: in between, a GPU's updates are only
        queued.
        """
        seconds, images = sum(t for t, _ in self.spans), sum(n for _, n in self.spans)
        if not self.spans:
            seconds, images = sum(self.updates), len(self.updates) * self.images
        if images == 0 and self.steps == 1:
            seconds, images = self.firsts.mean(_ALL, 0.0), self.images
        return images / seconds if seconds > 0 else None


class _Means:
    """The mean of each kind of value."""

    def __init__(self) -> None:
        self.sums: dict[Hashable, tuple[float, int]] = {}

    def add(self, kind: Hashable, value: float) -> None:
        for key in (kind, _ALL):
            total, count = self.sums.get(key, (0.0, 0))
            self.sums[key] = total + value, count + 1

    def mean(self, kind: Hashable, default: float) -> float:
        """Of this kind, else of all, else the default."""
        total, count = self.sums.get(kind) or self.sums.get(_ALL, (default, 1))
        return total / count


class Watch:
    """Passes every record to film, loggers and progress; films random weights at the start."""

    def __init__(
        self, trainer: Trainer, film: Film, loggers: Sequence[Logger], progress: Bar
    ) -> None:
        self.trainer, self.film, self.loggers, self.progress = trainer, film, loggers, progress
        train = trainer.config
        last, fid = trainer.span.epochs, train.fid_every if train.best_by == "fid" else 0
        self.pace = Pace(
            last,
            trainer.steps,
            kind=lambda epoch: (film.due(epoch, epoch == last), fid > 0 and epoch % fid == 0),
        )
        self.collapse = CollapseWatch(trainer.objective.loss)
        for record in trainer.history:
            self.collapse.epoch(record)
        for logger in loggers:
            logger.replay(trainer.history)
        if trainer.update.step == 0:
            self._shoot(0)

    def step(self, record: Step) -> None:
        """An update is done."""
        self.pace.step(record)
        for logger in self.loggers:
            logger.step(record)
        history = self.trainer.history
        parts = [f"epoch {record.epoch}/{self.pace.epochs}", losses(history[-1]) if history else ""]
        self.progress.advance(note="  ".join([*filter(None, parts), *self._costs()]))

    def epoch(self, record: Epoch) -> None:
        """An epoch is done, and validated."""
        for logger in self.loggers:
            logger.epoch(record)
        if self.film.due(record.epoch, record.last):
            self._shoot(record.epoch)
        self.pace.epoch(record)
        line = [f"epoch {record.epoch:>3}/{self.trainer.span.epochs}", losses(record)]
        self.progress.line("  " + "  ".join([*line, terms(record), *self._costs()]))
        warning = self.collapse.epoch(record)
        if warning is not None:
            self.progress.line(f"  warning: {warning}")

    def _shoot(self, epoch: int) -> None:
        frame = self.film.shoot(self.trainer.seen)
        for logger in self.loggers:
            logger.pictures(epoch, self.trainer.update.step, *frame)

    def _costs(self) -> list[str]:
        rate, left = self.pace.rate(), self.pace.left()
        shown = [peak_memory(self.trainer.train.device)]
        if left is not None:
            shown.insert(0, f"{clock(left)} left")
        return shown if rate is None else [f"{rate:.0f} images/s", *shown]


def losses(event: Epoch) -> str:
    """Training and validation loss, per image."""
    return f"loss {event.train['loss']:.4g} val {event.validation['loss']:.4g}"


def terms(event: Epoch) -> str:
    """Each term of the validation loss, unweighted, per image; the FID where measured."""
    values = event.validation if event.fid is None else {**event.validation, "fid": event.fid}
    return f"({'  '.join(f'{name} {v:.4g}' for name, v in values.items() if name != 'loss')})"
