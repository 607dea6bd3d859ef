"""What no single key can break: rules between keys, checked before anything is spent."""

from __future__ import annotations

from sharpvae.config.network_rules import existing, loss_networks, scoring_networks
from sharpvae.config.resolve import Resolved
from sharpvae.config.schema import DataConfig
from sharpvae.errors import UserError, UserErrors


def check(resolved: Resolved) -> None:
    """Check the rules that tie several keys together.

    Raises:
        UserErrors: with every rule that is broken.
    """
    experiment = resolved.experiment
    errors = _own_images(experiment.data) + scoring_networks(resolved)
    for name in experiment.variants:
        errors += _image_size(resolved, name)
        errors += _dropout(resolved, name)
        errors += _enough_samples(resolved, name)
        errors += loss_networks(resolved, name)
    if errors:
        raise UserErrors(errors)


def _own_images(data: DataConfig) -> list[UserError]:
    if data.name != "folder":
        return existing("data.path", data.path)
    if data.path is None:
        return [
            UserError(
                "data.path",
                "a folder or .zip of images, which data.name: folder reads",
                "null",
                "set data.path to where your images are",
            )
        ]
    return existing("data.path", data.path)


def _image_size(resolved: Resolved, name: str) -> list[UserError]:
    size = resolved.experiment.data.image_size
    model = resolved.experiment.variants[name].model
    if size % model.stride == 0:
        return []
    down, up = size // model.stride * model.stride, (size // model.stride + 1) * model.stride
    sizes = f"{down} or {up}" if down >= 16 else f"{up}"
    widths = resolved.sources[f"variants.{name}.model.widths"]
    return [
        UserError(
            resolved.sources["data.image_size"],
            f"a multiple of {model.stride}: variant '{name}' halves it {len(model.widths)} times",
            str(size),
            f"set data.image_size to {sizes}, or give {widths} fewer entries",
        )
    ]


def _dropout(resolved: Resolved, name: str) -> list[UserError]:
    model = resolved.experiment.variants[name].model
    if model.family == "mlp" or model.dropout == 0:
        return []
    return [
        UserError(
            resolved.sources[f"variants.{name}.model.dropout"],
            "0: only the linear layers of an mlp drop units",
            f"{model.dropout:g}, with {resolved.sources[f'variants.{name}.model.family']}: conv",
            "set it to 0, or model.family: mlp",
        )
    ]


def _enough_samples(resolved: Resolved, name: str) -> list[UserError]:
    count = resolved.experiment.variants[name].sample.count
    subset = resolved.experiment.metrics.kid_subset_size
    if count >= subset:
        return []
    return [
        UserError(
            resolved.sources[f"variants.{name}.sample.count"],
            f"at least {subset} images, the size of one KID subset",
            str(count),
            f"raise it, or lower {resolved.sources['metrics.kid_subset_size']}",
        )
    ]
