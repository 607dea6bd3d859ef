"""What the training loop yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One update is done.

    Attributes:
        epoch: counted from 1.
        done, of: updates done in this epoch, and how many it has.
        images: images seen by this update.
    """

    epoch: int
    done: int
    of: int
    images: int


@dataclass(frozen=True)
class Epoch:
    """One epoch is done, and validated.

    Attributes:
        epoch: counted from 1.
        step: updates done since the start.
        train, validation: mean over images of each term, summed over pixels or latent dimensions,
            and `loss`, the weighted total; validation at the final beta.
        beta, lr: as of the last update.
        best: whether this is the lowest validation loss so far.
        last: whether training ends here.
        stopped_early: whether it ends because the validation loss stopped falling.
    """

    epoch: int
    step: int
    train: dict[str, float]
    validation: dict[str, float]
    beta: float
    lr: float
    best: bool
    last: bool
    stopped_early: bool

    def rows(self) -> list[tuple[int, int, str, str, float]]:
        """The record as rows of history.csv: epoch, step, split, term, value."""
        splits = {
            "train": self.train,
            "validation": self.validation,
            "schedule": {"beta": self.beta, "lr": self.lr},
        }
        return [
            (self.epoch, self.step, split, term, value)
            for split, terms in splits.items()
            for term, value in terms.items()
        ]
