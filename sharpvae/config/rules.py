"""What no single key can break: every rule between keys, checked before anything is spent.

What only counted images can tell, `train` and `prepare` ask once more, of the same functions:
`objective.schedules.late_start`, `training.config.indivisible`, `datasets.choose`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from sharpvae.config.experiment import VariantConfig
from sharpvae.config.resolve import Resolved
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.choose import class_count, too_few_classes
from sharpvae.datasets.config import DataConfig
from sharpvae.objective.schedules import late_start
from sharpvae.perception.pretrained import LPIPS_TRUNKS, find, location, same
from sharpvae.sampling.config import unknown_classes
from sharpvae.training.config import indivisible

# Of torchvision's `features`: how many layers, and at which positions height and width are halved.
LENGTH = {"vgg16": 31, "vgg19": 37}
POOLS = {"vgg16": (4, 9, 16, 23, 30), "vgg19": (4, 9, 18, 27, 36)}
# Pixels of the smallest image of which the last layer that LPIPS compares still has a position.
LPIPS_SMALLEST = {"alex": 31, "vgg": 16}
Errors = Iterator[UserError]


def check(resolved: Resolved) -> None:
    """Check every rule.

    Raises:
        UserErrors: with all that are broken; UserError: `data.name` names no dataset.
    """
    entry(resolved.experiment.data.name)
    _raise_all(resolved, (own_images, judge, demands, conditional, arithmetic), VARIANT_RULES)


def check_shapes(resolved: Resolved) -> None:
    """Check that every variant's networks fit the images; what `check` does besides costs files.

    Raises:
        UserErrors: with every misfit.
    """
    _raise_all(resolved, (), (image_size, dropout, patches))


def _raise_all(
    resolved: Resolved,
    shared: tuple[Callable[[Resolved], Errors], ...],
    own: tuple[Callable[[Resolved, str], Errors], ...],
) -> None:
    errors = [error for rule in shared for error in rule(resolved)]
    for name in resolved.experiment.variants:
        errors += [error for rule in own for error in rule(resolved, name)]
    if errors:
        raise UserErrors(errors)


def own_images(resolved: Resolved) -> Errors:
    """`data.path` leads somewhere, and is there where `data.name` needs it."""
    data = resolved.experiment.data
    if data.name == "folder" and data.path is None:
        yield UserError(
            "data.path",
            "a folder or .zip of images, which data.name: folder reads",
            "null",
            "set data.path to where your images are",
        )
    yield from _existing("data.path", data.path)


def judge(resolved: Resolved) -> Errors:
    """The judge is a network of its own, and what `metrics.features` names is installed."""
    experiment, sources = resolved.experiment, resolved.sources
    if experiment.judge.seed == experiment.critic.seed:
        yield UserError(
            sources["judge.seed"],
            "another seed than the critic's: the network that scores must owe nothing to one "
            "that a loss uses",
            f"{experiment.judge.seed}, as {sources['critic.seed']}",
            f"change {sources['judge.seed']} or {sources['critic.seed']}",
        )
    key, given = sources["metrics.weights"], experiment.metrics.weights
    if experiment.metrics.features == "judge":
        yield from _existing(key, given)
    else:
        yield from _weights("inception", given, key, f"set {sources['metrics.features']}: judge")


def demands(resolved: Resolved) -> Errors:
    """Presets that contradict each other; one that an explicit key overrules does not."""
    tree = resolved.experiment.model_dump()
    for where, preset, key, value in resolved.demands:
        section, name = key.split(".")
        if tree[section][name] != value and resolved.sources[key] != key:
            yield UserError(
                where,
                f"a preset that agrees with {resolved.sources[key]}, "
                f"which says {tree[section][name]} for all variants",
                f"{preset}, which is made for {value}",
                f"set {key} yourself, which settles it, or name another preset",
            )


def conditional(resolved: Resolved) -> Errors:
    """Conditional variants have labels, as far as that is known before the images are read."""
    data, variants = resolved.experiment.data, resolved.experiment.variants
    named = [name for name, variant in variants.items() if variant.model.conditional]
    try:
        count = class_count(data) if named else None
    except UserError as error:  # the images cannot be made sense of
        yield error
        return
    if count is not None and count < 2:
        keys = (resolved.sources[f"variants.{name}.model.conditional"] for name in named)
        yield from (too_few_classes(key, data, count) for key in dict.fromkeys(keys))


def arithmetic(resolved: Resolved) -> Errors:
    """`sample.arithmetic` names classes that exist, where catalogue or params.yaml know them."""
    data = resolved.experiment.data
    names = data.classes or entry(data.name).class_names
    rows = {
        resolved.sources[f"variants.{name}.sample.arithmetic"]: variant.sample.arithmetic
        for name, variant in resolved.experiment.variants.items()
    }
    for key, row in rows.items() if names is not None else ():
        yield from unknown_classes(key, row, names or ())


def image_size(resolved: Resolved, name: str) -> Errors:
    """The encoder halves images without a rest."""
    size = resolved.experiment.data.image_size
    model = resolved.experiment.variants[name].model
    if size % model.stride == 0:
        return
    down, up = size // model.stride * model.stride, (size // model.stride + 1) * model.stride
    sizes = f"{down} or {up}" if down >= 16 else f"{up}"
    widths = resolved.sources[f"variants.{name}.model.widths"]
    yield UserError(
        resolved.sources["data.image_size"],
        f"a multiple of {model.stride}: variant '{name}' halves it {len(model.widths)} times",
        str(size),
        f"set data.image_size to {sizes}, or give {widths} fewer entries",
    )


def dropout(resolved: Resolved, name: str) -> Errors:
    """Only linear layers drop units."""
    model = resolved.experiment.variants[name].model
    if model.family != "mlp" and model.dropout > 0:
        yield UserError(
            resolved.sources[f"variants.{name}.model.dropout"],
            "0: only the linear layers of an mlp drop units",
            f"{model.dropout:g}, with {resolved.sources[f'variants.{name}.model.family']}: conv",
            "set it to 0, or model.family: mlp",
        )


def enough_samples(resolved: Resolved, name: str) -> Errors:
    """A KID subset can be drawn from the samples."""
    count = resolved.experiment.variants[name].sample.count
    subset = resolved.experiment.metrics.kid_subset_size
    if count < subset:
        yield UserError(
            resolved.sources[f"variants.{name}.sample.count"],
            f"at least {subset} images, the size of one KID subset",
            str(count),
            f"raise it, or lower {resolved.sources['metrics.kid_subset_size']}",
        )


def loss_networks(resolved: Resolved, name: str) -> Errors:
    """The networks that the loss uses: files, layers, sizes, and never one that scores."""
    loss = resolved.experiment.variants[name].loss

    def key(path: str) -> str:
        return resolved.sources[f"variants.{name}.loss.{path}"]

    where, network = key("perceptual.weights"), loss.perceptual.network
    if loss.weights.perceptual > 0 and network != "critic":
        instead = f"set {key('perceptual.network')}: critic"
        yield from _weights(network, loss.perceptual.weights, where, instead)
        yield from _never_the_judge(resolved, network, loss.perceptual.weights, where)
        yield from _layers(resolved, name)
    else:
        yield from _existing(where, loss.perceptual.weights)
    where = key("lpips.weights")
    if loss.weights.lpips > 0:
        without = f"set {key('weights.lpips')}: 0"
        trunk = LPIPS_TRUNKS[loss.lpips.network]
        yield from _weights(trunk, loss.lpips.weights, where, without)
        yield from _never_the_judge(resolved, trunk, loss.lpips.weights, where)
        yield from _lpips_size(resolved, name, without)
    else:
        yield from _existing(where, loss.lpips.weights)


def schedules(resolved: Resolved, name: str) -> Errors:
    """A weight above 0 starts before the end of training, as far as images are counted by now."""
    variant = resolved.experiment.variants[name]
    for term in ("beta", "perceptual", "adversarial"):
        weight = variant.loss.beta if term == "beta" else getattr(variant.loss.weights, term)
        schedule = getattr(variant.loss.schedules, term)
        most = most_epoch_steps(resolved.experiment.data, variant)
        counted = most if schedule.unit == "steps" else None
        expected = late_start(schedule, weight, variant.train.epochs, counted)
        if expected is not None:
            zero = "loss.beta" if term == "beta" else f"loss.weights.{term}"
            yield UserError(
                resolved.sources[f"variants.{name}.loss.schedules.{term}.start"],
                f"{expected}, in variant '{name}'",
                f"{schedule.start:g} ({schedule.unit})",
                f"start earlier, raise {resolved.sources[f'variants.{name}.train.epochs']}, "
                f"or set {zero}: 0",
            )


def most_epoch_steps(data: DataConfig, variant: VariantConfig) -> int | None:
    """Updates of the longest epoch that these images allow; None where nobody counted them.

    Every image that the catalogue or `data.subset` knows of is taken for a training image.
    """
    images = data.subset if isinstance(data.subset, int) else entry(data.name).images
    return None if images is None else images // variant.train.batch_size


def patches(resolved: Resolved, name: str) -> Errors:
    """The discriminator halves images, and one patch at least must be left."""
    loss, size = resolved.experiment.variants[name].loss, resolved.experiment.data.image_size
    least = loss.adversarial.smallest_side
    if loss.weights.adversarial > 0 and size < least:
        yield UserError(
            resolved.sources[f"variants.{name}.loss.adversarial.widths"],
            f"at most {size.bit_length() + 1} entries for images of {size} pixels",
            f"{len(loss.adversarial.widths)}, which need {least} pixels",
            "give it fewer entries, or raise data.image_size",
        )


def shares(resolved: Resolved, name: str) -> Errors:
    """A share of the loss is one of a sum of positive terms; a likelihood may be negative."""
    loss = resolved.experiment.variants[name].loss
    key = resolved.sources[f"variants.{name}.loss.kl_share"]
    if loss.kl_share > 0 and loss.beta == 0:
        beta = resolved.sources[f"variants.{name}.loss.beta"]
        yield UserError(key, f"{beta} above 0, the most that the controller may use", "0")
    elif loss.kl_share > 0 and loss.weights.gaussian > 0:
        yield UserError(
            key,
            "0 where weights.gaussian is above 0: its likelihood may be negative, and has a share "
            "in no sum",
            f"{loss.kl_share:g} with {resolved.sources[f'variants.{name}.loss.weights.gaussian']}",
            "set one of the two to 0; the Gaussian term needs no controller",
        )


def selection(resolved: Resolved, name: str) -> Errors:
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
        return
    for watcher, (instead, remedy) in watchers.items():
        value = getattr(variant.train, watcher)
        if value not in (0, "last", "none", "cosine", "step"):
            yield UserError(
                resolved.sources[f"variants.{name}.train.{watcher}"],
                f"no decision by the validation loss under "
                f"{resolved.sources[f'variants.{name}.{key}']}: {reason}",
                str(value),
                f"set variants.{name}.train.{watcher}: {instead}, {remedy}",
            )


def parts(resolved: Resolved, name: str) -> Errors:
    """Every process takes the same share of a batch, and so does every piece of it."""
    variant = resolved.experiment.variants[name]
    train, sources = variant.train, resolved.sources
    factors = " * ".join(
        f"{sources[f'variants.{name}.train.{key}']} {getattr(train, key)}"
        for key in ("accumulate", "devices", "nodes")
        if getattr(train, key) > 1
    )
    batch_size = sources[f"variants.{name}.train.batch_size"]
    error = indivisible(train.batch_size, train.accumulate, train.processes, batch_size, factors)
    if error is not None:
        yield error
    elif variant.model.norm == "batch" and train.batch_size // train.accumulate < 2:
        yield UserError(
            sources[f"variants.{name}.train.accumulate"],
            f"at most {train.batch_size // 2}: batch norm needs two images at a time",
            str(train.accumulate),
            "lower it, or set model.norm: group",
        )


VARIANT_RULES = (
    image_size, dropout, enough_samples, loss_networks, schedules, patches, shares, selection,
    parts,
)  # fmt: skip


def _existing(key: str, path: str | None) -> Errors:
    """Refuse a path that leads nowhere; None is no path."""
    if path is not None and not Path(os.path.expanduser(path)).exists():
        yield UserError(
            key, "a path that exists", path,
            "correct it; a relative path counts from the top of the repository",
        )  # fmt: skip


def _weights(name: str, given: str | None, key: str, instead: str) -> Errors:
    try:
        find(name, given, key, instead)
    except UserError as error:
        yield error


def _never_the_judge(resolved: Resolved, name: str, given: str | None, key: str) -> Errors:
    metrics, path = resolved.experiment.metrics, location(name, given)
    if metrics.features != "judge" and same(path, location("inception", metrics.weights)):
        yield UserError(
            key,
            "another file than that of the network that scores, which no loss may use",
            f"{path}, which metrics.features: {metrics.features} uses",
            f"give the file of {name}, or set metrics.features: judge",
        )


def _layers(resolved: Resolved, name: str) -> Errors:
    """The layers exist, and the last of them still has a position in images of this size."""
    section = resolved.experiment.variants[name].loss.perceptual
    network, layers = section.network, section.layers or []
    key = resolved.sources[f"variants.{name}.loss.perceptual.layers"]
    length, last = LENGTH[network], max(layers or [0])
    if beyond := [layer for layer in layers if layer >= length]:
        yield UserError(
            key,
            f"positions from 0 to {length - 1} in torchvision's features of {network}",
            ", ".join(map(str, beyond)),
        )
    pixels = section.resize or resolved.experiment.data.image_size
    smallest = 2 ** sum(pool <= last for pool in POOLS[network])
    if pixels < smallest:
        resize = f"variants.{name}.loss.perceptual.resize"
        yield UserError(
            resolved.sources["data.image_size" if section.resize is None else resize],
            f"at least {smallest} pixels, for layer {last} of {network} to have a position",
            str(pixels),
            "raise it, bring the images to a larger size by loss.perceptual.resize, or drop the "
            f"layer from {key}",
        )


def _lpips_size(resolved: Resolved, name: str, without: str) -> Errors:
    pixels = resolved.experiment.data.image_size
    network = resolved.experiment.variants[name].loss.lpips.network
    smallest = LPIPS_SMALLEST[network]
    if pixels >= smallest:
        return
    key = resolved.sources["data.image_size"]
    chosen = resolved.sources[f"variants.{name}.loss.lpips.network"]
    others = [other for other, least in LPIPS_SMALLEST.items() if least <= pixels]
    other = "".join(f"set {chosen}: {other}, or " for other in others)
    yield UserError(
        key,
        f"images of at least {smallest}x{smallest} pixels, which LPIPS on {network} needs in "
        f"variant '{name}'",
        f"{pixels}x{pixels}",
        f"raise {key}, or {other}{without}",
    )
