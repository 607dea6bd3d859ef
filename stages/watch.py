"""Shows a training while it runs: the terminal, the film, the loggers, the watch on collapse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from stages.progress import Bar, bar, clock

if TYPE_CHECKING:
    from sharpvae.config.stage_files import TrainStage
    from sharpvae.sampling.film import Film
    from sharpvae.training.loggers import Loggers
    from sharpvae.training.loop import Trainer
    from sharpvae.training.records import Epoch, Step


class Watch:
    """Is told every record of a training.

    Args:
        trainer: whose records they are.
        config: of the stage.
        film, loggers: are given what is theirs.
        progress: the bar, or the lines where there is no terminal.
    """

    def __init__(
        self, trainer: Trainer, config: TrainStage, film: Film, loggers: Loggers, progress: Bar
    ) -> None:
        from sharpvae.training.collapse import CollapseWatch
        from sharpvae.training.pace import Pace

        self.trainer, self.film, self.loggers, self.progress = trainer, film, loggers, progress
        train = config.train
        last, fid = train.epochs, train.fid_every if train.best_by == "fid" else 0
        self.pace = Pace(
            last,
            trainer.steps,
            kind=lambda epoch: (film.due(epoch, epoch == last), fid > 0 and epoch % fid == 0),
        )
        self.collapse = CollapseWatch(config.loss)
        self.collapse.replay(trainer.history)
        loggers.replay(trainer.history)

    def begin(self) -> None:
        """Before the first update: a frame of what the random weights draw."""
        self._shoot(0)

    def step(self, record: Step) -> None:
        """An update is done."""
        self.pace.step(record)
        self.loggers.step(record)
        history = self.trainer.history
        parts = [f"epoch {record.epoch}/{self.pace.epochs}", losses(history[-1]) if history else ""]
        self.progress.advance(note="  ".join([*filter(None, parts), *self._costs()]))

    def epoch(self, record: Epoch) -> None:
        """An epoch is done, and validated."""
        self.loggers.epoch(record)
        if self.film.due(record.epoch, record.last):
            self._shoot(record.epoch)
        self.pace.epoch(record)
        line = [f"epoch {record.epoch:>3}/{self.trainer.config.epochs}", losses(record)]
        self.progress.line("  " + "  ".join([*line, terms(record), *self._costs()]))
        warning = self.collapse.epoch(record)
        if warning is not None:
            self.progress.line(f"  warning: {warning}")

    def _shoot(self, epoch: int) -> None:
        frame = self.film.shoot(self.trainer.seen)
        self.loggers.pictures(epoch, self.trainer.update.step, *frame)

    def _costs(self) -> list[str]:
        from sharpvae.devices import peak_memory

        rate, left = self.pace.rate(), self.pace.left()
        return [
            *([] if rate is None else [f"{rate:.0f} images/s"]),
            *([] if left is None else [f"{clock(left)} left"]),
            peak_memory(self.trainer.train.device),
        ]


@contextmanager
def watching(trainer: Trainer, config: TrainStage, film: Film, loggers: Loggers) -> Iterator[Watch]:
    """A watch for the block."""
    total = trainer.config.epochs * trainer.steps
    with bar("training", total, start=trainer.update.step, left=False) as progress:
        yield Watch(trainer, config, film, loggers, progress)


def losses(event: Epoch) -> str:
    """Training and validation loss, per image."""
    return f"loss {event.train['loss']:.4g} val {event.validation['loss']:.4g}"


def terms(event: Epoch) -> str:
    """Each term of the validation loss, unweighted, per image; the FID where measured."""
    shown = [f"{name} {v:.4g}" for name, v in event.validation.items() if name != "loss"]
    if event.fid is not None:
        shown.append(f"fid {event.fid:.4g}")
    return f"({'  '.join(shown)})"
