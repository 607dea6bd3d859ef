"""Errors of training: numbers that are not finite, and memory that is too small."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.distributed import processes
from sharpvae.training.config import TrainStage
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.vae import VAE


class NotFinite(UserError):
    """A term of the objective, or the gradient, became nan or infinite at `update`, from 1."""

    def __init__(self, context: str, term: str, value: float, update: int, where: str) -> None:
        super().__init__(
            f"{context}: term '{term}' of the objective",
            "a finite number",
            f"{value} at update {update} ({where})",
            "lower train.lr, or set train.grad_clip: 1.0",
        )
        self.update, self.term = update, term

    def add(self, note: str) -> None:
        """Append to the message."""
        self.fix = f"{self.fix}; {note}"
        self.args = (self.text(),)


class FiniteGuard:
    """Remembers on the device at which update each term first stopped being finite.

    `watch` records without waiting for the GPU, and `check` raises. What `watch` returns makes an
    optimiser skip its step, so that the weights stay those of the last good update.

    `context` names the run in messages; terms are on `device`.
    """

    def __init__(self, context: str, device: torch.device) -> None:
        self.context = context
        self.names: list[str] = []
        # (terms,) each: the update of the first bad value, -1 for none; and that value.
        self.first = torch.empty(0, dtype=torch.int64, device=device)
        self.values = torch.empty(0, device=device)

    @torch.no_grad()
    def watch(self, step: int, terms: dict[str, Tensor]) -> Tensor:
        """Record update `step` (from 1), with its terms of any shape, some or all.

        Returns:
            float32 scalar: 1 from the first bad value on, 0 before; as an optimiser's `found_inf`.
        """
        some = {name: term.detach().float().sum() for name, term in terms.items()}
        new = [name for name in some if name not in self.names]
        if new:
            self.names += new
            self.first = F.pad(self.first, (0, len(new)), value=-1)
            self.values = F.pad(self.values, (0, len(new)))
        absent = self.values.new_zeros(())
        now = torch.stack([some.get(name, absent) for name in self.names])
        bad = ~torch.isfinite(now) & (self.first < 0)
        self.values = torch.where(bad, now, self.values)
        self.first = torch.where(bad, step, self.first)
        return (self.first >= 0).any().float()

    def check(self, epoch: int, settings: dict[str, float]) -> None:
        """Raise if any process watched a value that was not finite.

        Raises:
            NotFinite: with the term, the update, the epoch and the settings, lr and beta.
        """
        if not self.names:
            return
        never = torch.iinfo(torch.int64).max
        # An update that one process stopped at is one that all must stop at.
        first = processes.all_reduce_min(torch.where(self.first < 0, never, self.first)).tolist()
        step, index = min((step, index) for index, step in enumerate(first))
        if step == never:
            return
        shown = ", ".join(f"{name} {number:.4g}" for name, number in settings.items())
        value = float(processes.all_reduce(self.values)[index])  # 0 where it was another's
        raise NotFinite(self.context, self.names[index], value, step, f"epoch {epoch}; {shown}")


# What PyTorch says of more memory than the CPU has, and of more than a number can count.
_TOO_MUCH = ("can't allocate memory", "multiplication overflow", "calculation overflow")
_COPIES = 4  # of every weight: itself, its gradient, and the two moments of Adam


def activations(
    model: ModelConfig, channels: int, size: int, classes: int, images: int
) -> tuple[int, int]:
    """Bytes that autograd keeps of one pass of a VAE in fp32, and bytes of its weights.

    The pass runs on PyTorch's meta device, which allocates nothing.

    Args:
        channels, size: of the `images` in the batch.
        classes: of the labels; 0 without.
    """
    least = max(images, 2)  # batch norm refuses a single one
    kept: list[Tensor] = []  # all of them, or another might get the place of one in memory

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor)
        return tensor

    with torch.device("meta"):
        vae = VAE(model, channels, size, classes)
        labels = torch.zeros(least, dtype=torch.int64) if vae.classes else None
        batch = torch.zeros(least, channels, size, size)
        noise = torch.zeros(least, vae.latent_dim)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            vae(batch, noise, labels)
    storages = {tensor.untyped_storage()._cdata: tensor.untyped_storage() for tensor in kept}
    weights = {weight.untyped_storage()._cdata: weight.nbytes for weight in vae.parameters()}
    passing = sum(storage.nbytes() for key, storage in storages.items() if key not in weights)
    return passing * images // least, sum(weights.values())


def _figures(model: ModelConfig, shape: tuple[int, int], classes: int, images: int) -> list[int]:
    """As `activations`; zeros where a network of the user's own wants to see numbers, or where a
    size overflows.
    """
    try:
        return [*activations(model, *shape, classes, images)]
    except Exception:
        return [0, 0]


def out_of_memory(
    config: TrainStage, shape: tuple[int, int], classes: int, error: BaseException
) -> UserError:
    """The message where memory is too small for images of `shape`, channels and side."""
    train = config.train
    piece = train.batch_size // train.accumulate // train.processes
    passing, weights = _figures(config.model, shape, classes, piece)
    more = next((n for n in range(2, piece // config.model.least + 1) if piece % n == 0), None)
    advice, told = [], (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    if more is not None:
        less = f" and needs about {_gigabytes(passing - passing // more)} less" if passing else ""
        again = f"train.accumulate: {train.accumulate * more}"
        advice.append(f"{again} computes the same batch in more pieces{less}")
    if train.precision == "fp32":
        less = f", about {_gigabytes(passing // 2)} less" if passing else ""
        advice.append(f"train.precision: bf16{less}")
    network = "network" if config.model.own else "model.width_scale"
    advice.append(f"a smaller train.batch_size, {network} or data.image_size")
    if passing:
        told += f"; {piece} images at a time take about {_gigabytes(passing)} in fp32, "
        told += f"weights, gradients and Adam {_gigabytes(_COPIES * weights)}"
    where = f"variants.{config.variant}.train.batch_size"
    expected = "a batch whose activations fit in the memory of the device"
    return UserError(where, expected, told, "; or ".join(advice))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the memory of a device, or of the CPU, is full."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _TOO_MUCH)
    )


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
