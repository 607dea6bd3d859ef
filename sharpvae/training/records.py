"""What the training loop yields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One update is done.

    Attributes:
        epoch: counted from 1.
        done, of: updates done in this epoch, and how many it has.
        step: updates done since the start.
        images: images seen by this update, by all processes together.
        numbers: at every `logging.every`-th update, mean over its images of each term and `loss`,
            with `beta`, `lr` and `gradient`, the norm before clipping; None at the others, where
            nobody waits for the device.
    """

    epoch: int
    done: int
    of: int
    step: int
    images: int
    numbers: dict[str, float] | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch is done, and validated.

    Attributes:
        epoch: counted from 1.
        step: updates done since the start.
        train, validation: mean over images of each term, summed over pixels or latent dimensions,
            and `loss`, the weighted total; validation at the final beta.
        kl_per_dimension: nats of each latent dimension, mean over the validation images.
        active_units: latent dimensions whose posterior mean varies by more than 0.01 over the
            validation images (Burda et al. 2016, Importance weighted autoencoders, section 5).
        fid: of prior samples against the validation images; None where it was not measured.
        beta, lr: as of the last update.
        gradient: norm of the gradient before clipping, mean over the updates where it was looked
            at.
        best: whether this is the best value so far of what `train.best_by` names.
        last: whether training ends here.
        stopped_early: whether it ends because that value stopped getting better.
    """

    epoch: int
    step: int
    train: dict[str, float]
    validation: dict[str, float]
    kl_per_dimension: list[float]
    active_units: int
    fid: float | None
    beta: float
    lr: float
    gradient: float
    best: bool
    last: bool
    stopped_early: bool

    def rows(self) -> list[tuple[int, int, str, str, float]]:
        """The record as rows of history.csv: epoch, step, split, term, value."""
        validation = {**self.validation, "active_units": self.active_units}
        if self.fid is not None:
            validation["fid"] = self.fid
        splits = {
            "train": {**self.train, "gradient": self.gradient},
            "validation": validation,
            "schedule": {"beta": self.beta, "lr": self.lr},
        }
        return [
            (self.epoch, self.step, split, term, value)
            for split, terms in splits.items()
            for term, value in terms.items()
        ]
