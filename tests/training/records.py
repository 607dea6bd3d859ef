"""Records of trainings that never took place."""

from __future__ import annotations

from collections.abc import Iterator

from sharpvae.training.loop import Epoch, Step


def epoch_record(epoch: int, steps: int = 4, **changes: object) -> Epoch:
    """The end of an epoch of `steps` updates; keywords change it."""
    values = {
        "epoch": epoch,
        "step": epoch * steps,
        "train": {"mse": 10 / (epoch + 2), "kl": 3.0 + epoch, "loss": 20 / 3 / epoch},
        "validation": {"mse": 11 / (epoch + 2), "kl": 2.0 + epoch, "loss": 22 / 3 / epoch},
        "kl_per_dimension": [0.1 * epoch, 0.5, 1 / 3],
        "active_units": 2,
        "fid": None,
        "beta": 1.0,
        "lr": 1e-3,
        "gradient": 0.5,
        "best": True,
        "last": False,
        "stopped_early": False,
    }
    return Epoch(**{**values, **changes})  # type: ignore[arg-type]


def training(
    epochs: int, steps: int, every: int = 2, images: int = 8, done: int = 0
) -> Iterator[Step | Epoch]:
    """All records of a training of which `done` updates lie before a checkpoint."""
    for step in range(done + 1, epochs * steps + 1):
        epoch, at = (step - 1) // steps + 1, (step - 1) % steps + 1
        numbers = {"loss": 1 / step, "mse": 0.9 / step} if step % every == 0 else None
        yield Step(epoch, at, steps, step, images, numbers)
        if at == steps:
            yield epoch_record(epoch, steps, last=epoch == epochs)
