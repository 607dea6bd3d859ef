"""The rules of networks that come with weights: files, layers, sizes, and never one that scores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from sharpvae.config.resolve import Resolved
from sharpvae.core.errors import UserError
from sharpvae.perception.pretrained import (
    LITE_BLOCKS,
    LPIPS_TRUNKS,
    PUBLISHED,
    efficientnet_file,
    find,
    location,
    same,
)

# Of torchvision's `features`: how many layers, and at which positions height and width are halved.
LENGTH = {"vgg16": 31, "vgg19": 37}
POOLS = {"vgg16": (4, 9, 16, 23, 30), "vgg19": (4, 9, 18, 27, 36)}
# Pixels of the smallest image of which the last layer that LPIPS compares still has a position.
LPIPS_SMALLEST = {"alex": 31, "vgg": 16}
Errors = Iterator[UserError]


def loss_networks(resolved: Resolved, name: str) -> Errors:
    """The networks that the loss uses: files, layers, sizes, and never one that scores."""
    variant, sources = resolved.variant(name)
    loss, key = variant.loss, sources["loss.perceptual.weights"]
    network, given = loss.perceptual.network, loss.perceptual.weights
    if loss.weights.perceptual > 0 and network in PUBLISHED:
        yield from _lite(resolved, name)
    elif loss.weights.perceptual > 0 and network != "critic":
        instead = f"set {sources['loss.perceptual.network']}: critic"
        yield from weights_found(network, given, key, instead)
        yield from _never_the_judge(resolved, network, given, key)
        yield from _layers(resolved, name)
    else:
        yield from existing(key, given)
    key, given = sources["loss.lpips.weights"], loss.lpips.weights
    if loss.weights.lpips > 0:
        trunk, without = LPIPS_TRUNKS[loss.lpips.network], f"set {sources['loss.weights.lpips']}: 0"
        yield from weights_found(trunk, given, key, without)
        yield from _never_the_judge(resolved, trunk, given, key)
        yield from _lpips_size(resolved, name, without)
    else:
        yield from existing(key, given)


def existing(key: str, path: str | None) -> Errors:
    """Refuse a path that does not exist; None is no path."""
    if path is not None and not Path(os.path.expanduser(path)).exists():
        fix = "correct it; a relative path counts from the top of the repository"
        yield UserError(key, "a path that exists", path, fix)


def weights_found(name: str, given: str | None, key: str, instead: str) -> Errors:
    """Refuse where there is no file of weights of the network `name`."""
    try:
        find(name, given, key, instead)
    except UserError as error:
        yield error


def _never_the_judge(resolved: Resolved, name: str, given: str | None, key: str) -> Errors:
    metrics, path = resolved.experiment.metrics, location(name, given)
    if metrics.features != "panel" and same(path, location("inception", metrics.weights)):
        expected = "another file than that of the network that scores, which no loss may use"
        found = f"{path}, which metrics.features: {metrics.features} uses"
        fix = f"give the file of {name}, or set metrics.features: panel"
        yield UserError(key, expected, found, fix)


def _layers(resolved: Resolved, name: str) -> Errors:
    """The layers exist, and the last of them still has a position in images of this size."""
    variant, sources = resolved.variant(name)
    section, key = variant.loss.perceptual, sources["loss.perceptual.layers"]
    network, layers = section.network, section.layers or [0]
    length, last = LENGTH[network], max(layers)
    if last >= length:
        expected = f"positions from 0 to {length - 1} in torchvision's features of {network}"
        yield UserError(key, expected, ", ".join(str(at) for at in layers if at >= length))
    pixels = section.resize or resolved.experiment.data.image_size
    smallest = 2 ** sum(pool <= last for pool in POOLS[network])
    if pixels < smallest:
        resized = "data.image_size" if section.resize is None else "loss.perceptual.resize"
        expected = f"at least {smallest} pixels, for layer {last} of {network} to have a position"
        larger = "bring the images to a larger size by loss.perceptual.resize"
        fix = f"raise it, {larger}, or drop the layer from {key}"
        yield UserError(sources[resized], expected, str(pixels), fix)


def _lite(resolved: Resolved, name: str) -> Errors:
    """The package is installed, the layers exist, and no key is set that only VGG has."""
    variant, sources = resolved.variant(name)
    section = variant.loss.perceptual
    try:
        efficientnet_file(section.network, sources["loss.perceptual.network"])
    except UserError as error:
        yield error
    wrong = [layer for layer in section.layers or () if layer >= LITE_BLOCKS]
    if wrong:
        expected = f"positions from 0 to {LITE_BLOCKS - 1} in the blocks of {section.network}"
        yield UserError(sources["loss.perceptual.layers"], expected, ", ".join(map(str, wrong)))
    if section.weights is not None:
        expected = f"null: the weights of {section.network} come with its package"
        yield UserError(sources["loss.perceptual.weights"], expected, section.weights, "remove it")


def _lpips_size(resolved: Resolved, name: str, without: str) -> Errors:
    variant, sources = resolved.variant(name)
    pixels, network = resolved.experiment.data.image_size, variant.loss.lpips.network
    smallest, key = LPIPS_SMALLEST[network], sources["data.image_size"]
    if pixels < smallest:
        chosen = sources["loss.lpips.network"]
        others = [other for other, least in LPIPS_SMALLEST.items() if least <= pixels]
        other = "".join(f"set {chosen}: {other}, or " for other in others)
        size = f"images of at least {smallest}x{smallest} pixels"
        expected = f"{size}, which LPIPS on {network} needs in variant '{name}'"
        yield UserError(key, expected, f"{pixels}x{pixels}", f"raise {key}, or {other}{without}")
