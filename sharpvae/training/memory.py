"""What a training needs memory for, so that running out of it can be answered with numbers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sharpvae.config.schema import ModelConfig
from sharpvae.config.stage_files import TrainStage
from sharpvae.errors import UserError
from sharpvae.networks.vae import VAE

_COPIES = 4  # of every weight: itself, its gradient, and the two moments of Adam


def activations(
    model: ModelConfig, channels: int, size: int, classes: int, images: int
) -> tuple[int, int]:
    """Bytes that autograd keeps of one pass of a VAE in fp32, and bytes of its weights.

    Nothing of that size is allocated: the pass runs on PyTorch's meta device.

    Args:
        channels, size: of the images.
        classes: of the labels; 0 without.
        images: in the batch.
    """
    least = max(images, 2)  # batch norm refuses a single one
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        alive.append(tensor)  # or another one might get its place in memory
        return tensor

    alive: list[Tensor] = []
    with torch.device("meta"):
        vae = VAE(model, channels, size, classes)
        labels = torch.zeros(least, dtype=torch.int64) if vae.classes else None
        batch, noise = (
            torch.zeros(least, channels, size, size),
            torch.zeros(least, vae.latent_dim),
        )
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            outputs = vae(batch, noise, labels)
    weights = {weight.untyped_storage()._cdata: weight.nbytes for weight in vae.parameters()}
    del outputs
    passing = sum(size for key, size in kept.items() if key not in weights)
    return passing * images // least, sum(weights.values())


def out_of_memory(
    config: TrainStage, shape: tuple[int, int], classes: int, error: BaseException
) -> UserError:
    """What to tell somebody whose device was too small.

    Args:
        shape: channels and side of the images.
        classes: of the labels; 0 without.
    """
    train = config.train
    piece = train.batch_size // train.accumulate // train.processes
    passing, weights = activations(config.model, *shape, classes, piece)
    least = 2 if config.model.norm == "batch" else 1  # images that a piece must have
    more = next((n for n in range(2, piece // least + 1) if piece % n == 0), None)
    advice = []
    if more is not None:
        advice.append(
            f"train.accumulate: {train.accumulate * more} computes the same batch in more pieces "
            f"and needs about {_gigabytes(passing - passing // more)} less"
        )
    if train.precision == "fp32":
        advice.append(f"train.precision: bf16, about {_gigabytes(passing // 2)} less")
    advice.append("a smaller train.batch_size, model.width_scale or data.image_size")
    return UserError(
        f"variants.{config.variant}.train.batch_size",
        "a batch whose activations fit in the memory of the device",
        f"{_first_line(error)}; {piece} images at a time take about {_gigabytes(passing)} in fp32, "
        f"weights, gradients and Adam {_gigabytes(_COPIES * weights)}",
        "; or ".join(advice),
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` is a device's, or the CPU allocator's, way of saying that it is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def _first_line(error: Any) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:160]


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
