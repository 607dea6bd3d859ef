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
    errors += _demands(resolved)
    for name in experiment.variants:
        errors += _image_size(resolved, name)
        errors += _dropout(resolved, name)
        errors += _enough_samples(resolved, name)
        errors += loss_networks(resolved, name)
        errors += _schedules(resolved, name)
        errors += _patches(resolved, name)
        errors += _shares(resolved, name)
        errors += _selection(resolved, name)
        errors += _parts(resolved, name)
    if errors:
        raise UserErrors(errors)


def check_shapes(resolved: Resolved) -> None:
    """Check that every variant's networks fit the images; what `check` does besides costs files.

    Raises:
        UserErrors: with every misfit.
    """
    rules = (_image_size, _dropout, _patches)
    errors = [
        e for rule in rules for name in resolved.experiment.variants for e in rule(resolved, name)
    ]
    if errors:
        raise UserErrors(errors)


def _demands(resolved: Resolved) -> list[UserError]:
    """Presets that contradict each other; one that an explicit key overrules does not."""
    tree, errors = resolved.experiment.model_dump(), []
    for where, preset, key, value in resolved.demands:
        section, name = key.split(".")
        if tree[section][name] == value or resolved.sources[key] == key:
            continue
        errors.append(
            UserError(
                where,
                f"a preset that agrees with {resolved.sources[key]}, "
                f"which says {tree[section][name]} for all variants",
                f"{preset}, which is made for {value}",
                f"set {key} yourself, which settles it, or name another preset",
            )
        )
    return errors


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


def _schedules(resolved: Resolved, name: str) -> list[UserError]:
    """A weight above 0 whose schedule starts after the end; those in updates wait for data."""
    variant = resolved.experiment.variants[name]
    errors = []
    for term in ("beta", "perceptual", "adversarial"):
        weight = variant.loss.beta if term == "beta" else getattr(variant.loss.weights, term)
        schedule = getattr(variant.loss.schedules, term)
        end = {"epochs": variant.train.epochs, "fraction": 1}.get(schedule.unit)
        if weight > 0 and end is not None and schedule.start >= end:
            zero = "loss.beta" if term == "beta" else f"loss.weights.{term}"
            errors.append(
                UserError(
                    resolved.sources[f"variants.{name}.loss.schedules.{term}.start"],
                    f"below {end}: variant '{name}' is at its end there",
                    f"{schedule.start:g} ({schedule.unit})",
                    f"start earlier, raise {resolved.sources[f'variants.{name}.train.epochs']}, "
                    f"or set {zero}: 0",
                )
            )
    return errors


def _shares(resolved: Resolved, name: str) -> list[UserError]:
    """A share of the loss is one of a sum of positive terms; a likelihood may be negative."""
    loss = resolved.experiment.variants[name].loss
    if loss.kl_share == 0 or (loss.beta > 0 and loss.weights.gaussian == 0):
        return []
    key = resolved.sources[f"variants.{name}.loss.kl_share"]
    if loss.beta == 0:
        beta = resolved.sources[f"variants.{name}.loss.beta"]
        return [UserError(key, f"{beta} above 0, the most that the controller may use", "0")]
    return [
        UserError(
            key,
            "0 where weights.gaussian is above 0: its likelihood may be negative, and has a share "
            "in no sum",
            f"{loss.kl_share:g} with {resolved.sources[f'variants.{name}.loss.weights.gaussian']}",
            "set one of the two to 0; the Gaussian term needs no controller",
        )
    ]


def _patches(resolved: Resolved, name: str) -> list[UserError]:
    """The discriminator halves images, and one patch at least must be left."""
    loss, size = resolved.experiment.variants[name].loss, resolved.experiment.data.image_size
    least = loss.adversarial.smallest_side
    if loss.weights.adversarial == 0 or size >= least:
        return []
    return [
        UserError(
            resolved.sources[f"variants.{name}.loss.adversarial.widths"],
            f"at most {size.bit_length() + 1} entries for images of {size} pixels",
            f"{len(loss.adversarial.widths)}, which need {least} pixels",
            "give it fewer entries, or raise data.image_size",
        )
    ]


def _selection(resolved: Resolved, name: str) -> list[UserError]:
    """The validation loss decides nothing where it is not what training brings down."""
    variant = resolved.experiment.variants[name]
    watchers: dict[str, tuple[str, str]] = {}
    if variant.train.best_by == "loss":
        remedy = "or choose by what is seen: train.best_by: fid"
        watchers["early_stop_patience"] = "0", remedy
        watchers["keep"] = "last", remedy
    if variant.loss.weights.adversarial > 0:
        reason = "the validation loss leaves the adversarial term out, and favours the time before"
        key = "loss.weights.adversarial"
    elif variant.loss.kl_share > 0:
        reason = "validation is at loss.beta, the most that the controller may use"
        key = "loss.kl_share"
        watchers["scheduler"] = "cosine", "which follows the updates"
    else:
        return []
    errors = []
    for watcher, (instead, remedy) in watchers.items():
        value = getattr(variant.train, watcher)
        if value in (0, "last", "none", "cosine", "step"):
            continue
        errors.append(
            UserError(
                resolved.sources[f"variants.{name}.train.{watcher}"],
                f"no decision by the validation loss under "
                f"{resolved.sources[f'variants.{name}.{key}']}: {reason}",
                str(value),
                f"set variants.{name}.train.{watcher}: {instead}, {remedy}",
            )
        )
    return errors


def _parts(resolved: Resolved, name: str) -> list[UserError]:
    """Every process takes the same share of a batch, and so does every piece of it."""
    variant = resolved.experiment.variants[name]
    train, sources = variant.train, resolved.sources
    parts = train.processes * train.accumulate
    where = sources[f"variants.{name}.train.batch_size"]
    factors = " * ".join(
        f"{sources[f'variants.{name}.train.{key}']} {getattr(train, key)}"
        for key in ("accumulate", "devices", "nodes")
        if getattr(train, key) > 1
    )
    if train.batch_size % parts:
        return [
            UserError(
                where,
                f"a multiple of {parts} ({factors}), since each part takes as many images",
                str(train.batch_size),
                f"set it to {max(1, round(train.batch_size / parts)) * parts}",
            )
        ]
    if variant.model.norm == "batch" and train.batch_size // train.accumulate < 2:
        return [
            UserError(
                sources[f"variants.{name}.train.accumulate"],
                f"at most {train.batch_size // 2}: batch norm needs two images at a time",
                str(train.accumulate),
                "lower it, or set model.norm: group",
            )
        ]
    return []
