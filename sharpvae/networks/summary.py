"""What a network is made of: the output, parameters and multiply-adds of each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from sharpvae.networks.discriminator import PatchDiscriminator
from sharpvae.networks.layers import Weighted
from sharpvae.networks.vae import VAE


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
