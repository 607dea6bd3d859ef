"""What a network is made of: the output, parameters and multiply-adds of each layer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from apps import command
from sharpvae.config.experiment import VariantConfig
from sharpvae.config.resolve import resolve_file
from sharpvae.config.rules import check_shapes
from sharpvae.core.errors import UserError, nearest
from sharpvae.datasets.catalogue import entry
from sharpvae.datasets.choose import class_count, too_few_classes
from sharpvae.datasets.config import DataConfig
from sharpvae.images.packed import Card, load_card
from sharpvae.objective.adversary import PatchDiscriminator
from sharpvae.vae.layers import Weighted
from sharpvae.vae.vae import VAE

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class Layer:
    """One layer, in the order in which an image passes it.

    Attributes:
        name: dotted, as in the weights file.
        kind: its class, with kernel and stride where it has some.
        shape: of its output for one image, without the batch.
        parameters: how many numbers it learns.
        multiply_adds: of one image; norms, activations and resizing count for nothing.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    multiply_adds: int


def layers(vae: VAE, image_channels: int, image_size: int) -> list[Layer]:
    """Every layer of encoder and decoder, from one pass of an empty image.

    `vae` is left in the mode it was in.
    """
    weight = next(vae.parameters())
    image = weight.new_zeros(1, image_channels, image_size, image_size)
    label = torch.zeros(1, dtype=torch.int64, device=weight.device)
    return _passed(vae, lambda: vae(image, weight.new_zeros(1, vae.latent_dim), label))


def discriminator_layers(
    discriminator: PatchDiscriminator, image_channels: int, image_size: int
) -> list[Layer]:
    """Every layer of the discriminator, in the same way."""
    weight = next(discriminator.parameters())
    image = weight.new_zeros(1, image_channels, image_size, image_size)
    return _passed(discriminator, lambda: discriminator(image))


def _passed(network: nn.Module, call: Callable[[], object]) -> list[Layer]:
    """The layers that an image passes in `call`, in evaluation mode."""
    found: list[Layer] = []

    def watch(name: str, module: nn.Module) -> RemovableHandle:
        def note(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            found.append(
                Layer(
                    name=name,
                    kind=_kind(module),
                    shape=tuple(output.shape[1:]),
                    parameters=sum(weight.numel() for weight in module.parameters()),
                    multiply_adds=_multiply_adds(module, inputs[0], output),
                )
            )

        return module.register_forward_hook(note)

    hooks = [watch(name, module) for name, module in _leaves(network)]
    training = network.training
    network.eval()
    try:
        with torch.no_grad():
            call()
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return found


def _leaves(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """What computes, with its dotted name; a convolution hides how its weight is parametrised."""
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
    """Of one image: each weight of a kernel counts once for every place it is laid on."""
    if isinstance(module, nn.Conv2d):
        return module.weight[0].numel() * output[0].numel()
    if isinstance(module, nn.ConvTranspose2d):
        return module.weight[0].numel() * image[0].numel()
    if isinstance(module, nn.Linear):
        return module.weight.numel()
    return 0


PREPARED = Path("data/prepared")
WIDTH = 118  # columns where there is no terminal


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the app; the exit code is 1 after a mistake that the user can mend."""
    parser = command.parser("apps.describe", __doc__)
    parser.add_argument("variants", nargs="*", metavar="variant", help="none: all of them")
    parser.add_argument("--channels", type=int, choices=(1, 3), help="of the images")
    options = parser.parse_args(arguments)
    return command.exit_code(lambda: describe_all(options.variants, options.channels))


def describe_all(names: Sequence[str], channels: int | None) -> None:
    """Print the variants `names` of params.yaml, or all of them.

    Raises:
        UserError: a mistake in params.yaml, an unknown name, or images that nobody knows.
    """
    resolved = resolve_file(Path("params.yaml"))
    check_shapes(resolved)
    experiment = resolved.experiment
    for name in names:
        if name not in experiment.variants:
            raise UserError(
                "variants", "a variant of params.yaml", repr(name),
                nearest(name, experiment.variants),
            )  # fmt: skip
    channels = channels or image_channels(experiment.data)
    for name in names or experiment.variants:
        variant = experiment.variants[name]
        classes = label_classes(experiment.data) if variant.model.conditional else 0
        describe(name, variant, channels, experiment.data.image_size, classes)


def image_channels(data: DataConfig) -> int:
    """Of the images that are configured: as the catalogue says, or as they were prepared.

    Raises:
        UserError: neither knows.
    """
    known = entry(data.name).channels
    if known is not None:
        return known
    if (card := prepared(data)) is not None:
        return card.channels
    raise UserError(
        f"data.name: {data.name}", "images that are prepared, so that their channels are known",
        f"{PREPARED} holds others", "run: dvc repro prepare; or say --channels 1 or --channels 3",
    )  # fmt: skip


def label_classes(data: DataConfig) -> int:
    """Of the images that are configured, for a conditional variant; from where channels are.

    Raises:
        UserError: neither knows, or they know of fewer than two.
    """
    known = class_count(data)
    if known is None and (card := prepared(data)) is not None:
        known = len(card.class_names or ())
    if known is None:
        raise UserError(
            f"data.name: {data.name}", "images that are prepared, so that their classes are known",
            f"{PREPARED} holds others", "run: dvc repro prepare",
        )  # fmt: skip
    if known < 2:
        raise too_few_classes("model.conditional", data, known)
    return known


def prepared(data: DataConfig) -> Card | None:
    """The card of the prepared images, if they are those of `data.name`."""
    if not (PREPARED / "card.json").exists():
        return None
    card = load_card(PREPARED)
    return card if card.name == data.name else None


def describe(name: str, variant: VariantConfig, channels: int, size: int, classes: int) -> None:
    """Print the layers of one variant's networks, with what they cost."""
    from sharpvae.objective.adversary import configured
    from sharpvae.vae.vae import VAE

    title = f"{name}: {size}x{size}x{channels}, {variant.model.latent_dim} latent dimensions"
    title = f"{title}, {classes} classes" if classes else title
    vae = VAE(variant.model, channels, size, classes)
    show(title, layers(vae, channels, size), ("encoder", "decoder"))
    if variant.loss.weights.adversarial > 0:
        discriminator = configured(variant.loss.adversarial, variant.model, channels)
        title = f"{name}: discriminator, in training alone"
        show(title, discriminator_layers(discriminator, channels, size), ())


def show(title: str, found: list[Layer], parts: Sequence[str]) -> None:
    """Print layers and their sums, of those whose name begins with each of `parts` and of all."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading, number in (
        ("layer", False), ("kind", False), ("output", True), ("parameters", True),
        ("multiply-adds", True),
    ):  # fmt: skip
        table.add_column(heading, justify="right" if number else "left", overflow="fold")
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
    console = command.console(WIDTH)
    console.print(table, markup=False)
    console.print()


if __name__ == "__main__":
    sys.exit(main())
