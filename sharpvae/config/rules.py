"""Rules about networks that compare images: their weights, their sizes, and who may judge."""

from __future__ import annotations

import os
from pathlib import Path

from sharpvae.config.experiment import Experiment, VariantConfig
from sharpvae.config.resolve import Resolved
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.choose import class_count, too_few_classes
from sharpvae.datasets.config import DataConfig
from sharpvae.objective.config import PerceptualConfig
from sharpvae.perception.pretrained import LPIPS_TRUNKS, find, location, same
from sharpvae.sampling.config import unknown_classes

# Of torchvision's `features`: how many layers, and at which positions height and width are halved.
LENGTH = {"vgg16": 31, "vgg19": 37}
POOLS = {"vgg16": (4, 9, 16, 23, 30), "vgg19": (4, 9, 18, 27, 36)}
# Pixels of the smallest image of which the last layer that LPIPS compares still has a position.
LPIPS_SMALLEST = {"alex": 31, "vgg": 16}


def existing(key: str, path: str | None) -> list[UserError]:
    """Refuse a path that leads nowhere; None is no path."""
    if path is None or Path(os.path.expanduser(path)).exists():
        return []
    return [
        UserError(
            key,
            "a path that exists",
            path,
            "correct it; a relative path counts from the top of the repository",
        )
    ]


def scoring_networks(resolved: Resolved) -> list[UserError]:
    """The judge is a network of its own, and what `metrics.features` names is at hand."""
    experiment = resolved.experiment
    judge_seed, critic_seed = (resolved.sources[f"{name}.seed"] for name in ("judge", "critic"))
    errors = []
    if experiment.judge.seed == experiment.critic.seed:
        errors.append(
            UserError(
                judge_seed,
                "another seed than the critic's: the network that scores must owe nothing to one "
                "that a loss uses",
                f"{experiment.judge.seed}, as {critic_seed}",
                f"change {judge_seed} or {critic_seed}",
            )
        )
    key, given = resolved.sources["metrics.weights"], experiment.metrics.weights
    if experiment.metrics.features == "judge":
        return errors + existing(key, given)
    features = resolved.sources["metrics.features"]
    return errors + _weights("inception", given, key, f"set {features}: judge")


def loss_networks(resolved: Resolved, name: str) -> list[UserError]:
    """The networks that the loss of variant `name` uses: files, layers, sizes, and no judge."""
    experiment = resolved.experiment
    loss = experiment.variants[name].loss

    def key(path: str) -> str:
        return resolved.sources[f"variants.{name}.loss.{path}"]

    where, size = key("perceptual.weights"), resolved.sources["data.image_size"]
    errors = []
    if loss.weights.perceptual > 0 and loss.perceptual.network != "critic":
        network, instead = loss.perceptual.network, f"set {key('perceptual.network')}: critic"
        errors += _weights(network, loss.perceptual.weights, where, instead)
        errors += _no_judge(experiment, network, loss.perceptual.weights, where)
        errors += _layers(loss.perceptual, key("perceptual.layers"))
        if loss.perceptual.resize is not None:
            size = key("perceptual.resize")
        pixels = loss.perceptual.resize or experiment.data.image_size
        errors += _maps(loss.perceptual, pixels, size, key("perceptual.layers"))
    else:
        errors += existing(where, loss.perceptual.weights)
    where, without = key("lpips.weights"), f"set {key('weights.lpips')}: 0"
    if loss.weights.lpips > 0:
        trunk = LPIPS_TRUNKS[loss.lpips.network]
        errors += _weights(trunk, loss.lpips.weights, where, without)
        errors += _no_judge(experiment, trunk, loss.lpips.weights, where)
        errors += _lpips_size(resolved, name, without)
    else:
        errors += existing(where, loss.lpips.weights)
    return errors


def _weights(name: str, given: str | None, key: str, instead: str) -> list[UserError]:
    try:
        find(name, given, key, instead)
    except UserError as error:
        return [error]
    return []


def _no_judge(experiment: Experiment, name: str, given: str | None, key: str) -> list[UserError]:
    if experiment.metrics.features == "judge":
        return []
    path = location(name, given)
    if not same(path, location("inception", experiment.metrics.weights)):
        return []
    return [
        UserError(
            key,
            "another file than that of the network that scores, which no loss may use",
            f"{path}, which metrics.features: {experiment.metrics.features} uses",
            f"give the file of {name}, or set metrics.features: judge",
        )
    ]


def _layers(section: PerceptualConfig, key: str) -> list[UserError]:
    length = LENGTH[section.network]
    beyond = [layer for layer in section.layers or [] if layer >= length]
    if not beyond:
        return []
    return [
        UserError(
            key,
            f"positions from 0 to {length - 1} in torchvision's features of {section.network}",
            ", ".join(map(str, beyond)),
        )
    ]


def _maps(section: PerceptualConfig, pixels: int, size: str, layers: str) -> list[UserError]:
    """Refuse images of which the last of the layers has no position left."""
    last = max(section.layers or [0])
    smallest = 2 ** sum(pool <= last for pool in POOLS[section.network])
    if pixels >= smallest:
        return []
    return [
        UserError(
            size,
            f"at least {smallest} pixels, for layer {last} of {section.network} to have a position",
            str(pixels),
            f"raise it, bring the images to a larger size by loss.perceptual.resize, or drop the "
            f"layer from {layers}",
        )
    ]


def _lpips_size(resolved: Resolved, name: str, without: str) -> list[UserError]:
    pixels = resolved.experiment.data.image_size
    network = resolved.experiment.variants[name].loss.lpips.network
    smallest = LPIPS_SMALLEST[network]
    if pixels >= smallest:
        return []
    key = resolved.sources["data.image_size"]
    chosen = resolved.sources[f"variants.{name}.loss.lpips.network"]
    others = [other for other, least in LPIPS_SMALLEST.items() if least <= pixels]
    other = "".join(f"set {chosen}: {other}, or " for other in others)
    return [
        UserError(
            key,
            f"images of at least {smallest}x{smallest} pixels, which LPIPS on {network} needs in "
            f"variant '{name}'",
            f"{pixels}x{pixels}",
            f"raise {key}, or {other}{without}",
        )
    ]


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


def check_conditional(resolved: Resolved) -> None:
    """Conditional variants have labels to be told, wherever that can be known by now.

    Raises:
        UserErrors: one for each conditional variant, where there are fewer than two classes.
        UserError: the folder or archive of one's own images cannot be made sense of.
    """
    data, variants = resolved.experiment.data, resolved.experiment.variants
    conditional = [name for name, variant in variants.items() if variant.model.conditional]
    count = class_count(data) if conditional else None
    if count is not None and count < 2:
        keys = (resolved.sources[f"variants.{name}.model.conditional"] for name in conditional)
        raise UserErrors([too_few_classes(key, data, count) for key in dict.fromkeys(keys)])


def check_arithmetic(resolved: Resolved) -> None:
    """`sample.arithmetic` names classes that there are, where catalogue or params.yaml know them.

    Raises:
        UserErrors: one for each wrong name.
    """
    data = resolved.experiment.data
    names = data.classes or entry(data.name).class_names
    rows = {
        resolved.sources[f"variants.{name}.sample.arithmetic"]: variant.sample.arithmetic
        for name, variant in resolved.experiment.variants.items()
    }
    wrong = [error for key, row in rows.items() for error in unknown_classes(key, row, names or ())]
    if wrong and names is not None:
        raise UserErrors(wrong)


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
