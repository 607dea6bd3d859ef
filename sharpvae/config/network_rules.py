"""Rules about networks that compare images: their weights, their sizes, and who may judge."""

from __future__ import annotations

import os
from pathlib import Path

from sharpvae.config.loss_schema import PerceptualConfig
from sharpvae.config.resolve import Resolved
from sharpvae.config.schema import Experiment
from sharpvae.errors import UserError
from sharpvae.pretrained import LPIPS_TRUNKS, find, location, same

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
