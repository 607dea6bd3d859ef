"""How many updates a training can have at most, before the images are prepared."""

from __future__ import annotations

from sharpvae.config.resolve import Resolved
from sharpvae.config.schema import DataConfig, VariantConfig
from sharpvae.datasets.catalogue import entry
from sharpvae.errors import UserError, UserErrors


def check_starts(resolved: Resolved) -> None:
    """A weight whose schedule counts in updates starts before the last of them.

    The bound takes every image that the catalogue or `data.subset` knows of for a training image;
    the stage `train` checks again when it has counted them.

    Raises:
        UserErrors: one for each schedule that no training of this length can reach.
    """
    experiment, errors = resolved.experiment, []
    for name, variant in experiment.variants.items():
        most = most_steps(experiment.data, variant)
        for term in ("beta", "perceptual", "adversarial"):
            schedule = getattr(variant.loss.schedules, term)
            used = variant.loss.beta if term == "beta" else getattr(variant.loss.weights, term)
            if most is None or schedule.unit != "steps" or used == 0 or schedule.start < most:
                continue
            errors.append(
                UserError(
                    resolved.sources[f"variants.{name}.loss.schedules.{term}.start"],
                    f"below {most}, the most updates that variant '{name}' can have",
                    f"{schedule.start:g} (steps)",
                    f"start earlier, or raise {resolved.sources[f'variants.{name}.train.epochs']}",
                )
            )
    if errors:
        raise UserErrors(errors)


def most_steps(data: DataConfig, variant: VariantConfig) -> int | None:
    """Updates of the longest training that these images allow; None where nobody counted them."""
    images = data.subset if isinstance(data.subset, int) else entry(data.name).images
    if images is None:
        return None
    return images // variant.train.batch_size * variant.train.epochs
