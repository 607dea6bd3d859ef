"""What a network is made of: the output, parameters and multiply-adds of each layer.

sharpvae describe                        every variant of params.yaml
sharpvae describe improved --channels 1  one, for grey images
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from apps import command
from sharpvae.config.experiment import VariantConfig
from sharpvae.config.resolve import resolve_file
from sharpvae.config.rules import check_shapes
from sharpvae.core.console import exit_code
from sharpvae.core.errors import UserError
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.choose import class_count, too_few_classes
from sharpvae.datasets.config import DataConfig
from sharpvae.images.packed import Card, load_card
from sharpvae.objective.discriminator import Discriminator, configured
from sharpvae.vae.contract import check
from sharpvae.vae.layers import Weighted
from sharpvae.vae.vae import VAE

PREPARED = Path("data/prepared")
WIDTH = 118  # columns where there is no terminal


@dataclass(frozen=True)
class LayerCost:
    """One layer of a network."""

    name: str  # dotted, as in the weights file
    kind: str  # its class, with kernel and stride of a convolution
    shape: tuple[int, ...]  # of its output, without the batch
    parameters: int
    multiply_adds: int  # of one image; norms, activations and resizing count as 0


def layers(network: VAE | Discriminator, image_channels: int, image_size: int) -> list[LayerCost]:
    """The layers of encoder and decoder, or of a discriminator, in the order an image passes them.

    A black image passes in evaluation mode; then `network` is in the mode that it was in. What a
    network of the user's own has and does outside of layers comes last, as one.
    """
    weight = next(network.parameters())
    inputs = [weight.new_zeros(1, image_channels, image_size, image_size)]
    if isinstance(network, VAE):
        inputs += [weight.new_zeros(1, network.latent_dim), weight.new_zeros(1).long()]
    found: list[LayerCost] = []
    passed: set[nn.Module] = set()  # a layer may be passed twice, but has its parameters once

    def note(name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not (inputs and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
            return
        parameters = 0 if module in passed else sum(w.numel() for w in module.parameters())
        passed.add(module)
        cost = _multiply_adds(module, inputs[0], output)
        found.append(LayerCost(name, _kind(module), tuple(output.shape[1:]), parameters, cost))

    hooks = [module.register_forward_hook(partial(note, name)) for name, module in _leaves(network)]
    training = network.training
    network.eval()
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as flops:
            network(*inputs)
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    if isinstance(network, VAE) and network.own:
        found += _elsewhere(network, found, int(flops.get_total_flops()) // 2)
    return found


def _elsewhere(network: VAE, found: list[LayerCost], cost: int) -> list[LayerCost]:
    """What `found` lacks of the parameters of a network and of its multiply-adds; often nothing."""
    weights = sum(weight.numel() for weight in network.parameters())
    weights -= sum(layer.parameters for layer in found)
    cost -= sum(layer.multiply_adds for layer in found)
    return [LayerCost("elsewhere", "", (), weights, cost)] if weights or cost else []


def _leaves(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """The modules that compute, with dotted names; not those that parametrise a weight."""
    children = list(module.named_children())
    if isinstance(module, Weighted) or not (children or isinstance(module, nn.Sequential)):
        yield name, module
        return
    for part, child in children:
        yield from _leaves(child, f"{name}.{part}" if name else part)


def _kind(module: nn.Module) -> str:
    name = type(module).__name__.removeprefix("Parametrized")
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        height, width = module.kernel_size
        stride = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
        return f"{name} {height}x{width}{stride}"
    return name


def _multiply_adds(module: nn.Module, image: Tensor, output: Tensor) -> int:
    """Of one image: each weight of a kernel counts once for every position."""
    if isinstance(module, nn.Conv2d):
        return module.weight[0].numel() * output[0].numel()
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight[0].numel() * image[0].numel()
    if isinstance(module, nn.Linear):
        return module.weight.numel()
    return 0


def parser() -> argparse.ArgumentParser:
    """What `sharpvae describe` takes."""
    made = command.parser("describe", __doc__)
    made.add_argument("variants", nargs="*", metavar="variant", help="none: all of them")
    made.add_argument("--channels", type=int, choices=(1, 3), help="of the images")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; the exit code is 1 after a mistake that the user can mend."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: describe_all(options.variants, options.channels))


def describe_all(names: Sequence[str], channels: int | None) -> None:
    """Print the variants `names` of params.yaml, or all of them.

    Raises:
        UserError: a mistake in params.yaml, an unknown name, or unknown channels or classes.
    """
    resolved = resolve_file(Path("params.yaml"))
    check_shapes(resolved)
    experiment = resolved.experiment
    command.check(names, experiment.variants, "variants", "a variant that is trained")
    channels = channels or image_channels(experiment.data)
    for name in names or experiment.variants:
        variant = experiment.variants[name]
        classes = label_classes(experiment.data) if variant.model.conditional else 0
        describe(name, variant, channels, experiment.data.image_size, classes)


def image_channels(data: DataConfig) -> int:
    """From the catalogue, or from the prepared images; UserError where neither knows."""
    known = entry(data.name).channels
    return known or prepared(data, "channels", "; or say --channels 1 or --channels 3").channels


def label_classes(data: DataConfig) -> int:
    """From the catalogue or the prepared images; UserError also for fewer than two."""
    known = class_count(data)
    if known is None:
        known = len(prepared(data, "classes").class_names or ())
    if known < 2:
        raise too_few_classes("model.conditional", data, known)
    return known


def prepared(data: DataConfig, wanted: str, instead: str = "") -> Card:
    """The card of the prepared images; UserError unless they are those of `data.name`."""
    if (PREPARED / "card.json").exists() and (card := load_card(PREPARED)).name == data.name:
        return card
    raise UserError(
        f"data.name: {data.name}", f"images that are prepared, so that their {wanted} are known",
        f"{PREPARED} holds others", f"run: dvc repro prepare{instead}",
    )  # fmt: skip


def describe(name: str, variant: VariantConfig, channels: int, size: int, classes: int) -> None:
    """Print the layers of one variant's networks, with what they cost."""
    title = f"{name}: {size}x{size}x{channels}, {variant.model.latent_dim} latent dimensions"
    title += f", {classes} classes" if classes else ""
    check(variant.model, channels, size, classes, torch.device("cpu"))
    vae = VAE(variant.model, channels, size, classes)
    show(title, layers(vae, channels, size), *([] if vae.own else ["encoder", "decoder"]))
    if variant.loss.weights.adversarial > 0:
        discriminator = configured(variant.loss.adversarial, variant.model, channels, size)
        title = f"{name}: discriminator, in training alone"
        show(title, layers(discriminator, channels, size))


def show(title: str, found: list[LayerCost], *parts: str) -> None:
    """Print layers, and sums over those whose name begins with each of `parts` and over all."""
    table = command.table("layer", "kind", ">output", ">parameters", ">multiply-adds", title=title)
    for layer in found:
        table.add_row(
            layer.name, layer.kind, " x ".join(map(str, layer.shape)),
            f"{layer.parameters:,}" if layer.parameters else "",
            f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        )  # fmt: skip
    table.add_section()
    for start in (*parts, ""):
        part = [layer for layer in found if layer.name.startswith(start)]
        table.add_row(
            start or "whole", "", "", f"{sum(layer.parameters for layer in part):,}",
            f"{sum(layer.multiply_adds for layer in part):,}", style="bold",
        )  # fmt: skip
    command.say(WIDTH, table, "")
