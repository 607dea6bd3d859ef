"""Several processes that train one network: ranks, reductions, batch norm over all of them.

In a single process every reduction returns what it is given. Of several, all must call the same
reductions in the same order, or they wait for each other until the timeout.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import TypeAlias

import torch
import torch.distributed as dist
from torch import Tensor, nn

ABANDONED = 75  # exit code of a process whose peers have gone; the launcher looks for another cause
VARIABLES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # torchrun's
_PATIENCE = 2.0  # seconds in which the launcher sees the process that failed end before its peers
_alone = threading.local()


def launched() -> bool:
    """Whether this process was started as one of several: torchrun's variables are there."""
    return all(name in os.environ for name in VARIABLES)


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if _grouped() else 0


def world() -> int:
    """How many processes compute together; 1 inside `alone`."""
    return dist.get_world_size() if _grouped() and not getattr(_alone, "now", False) else 1


def is_first() -> bool:
    """Whether this process is the one that writes and prints."""
    return rank() == 0


@contextmanager
def alone() -> Iterator[None]:
    """Within the block this process computes for itself, and may do so while others do not."""
    before = getattr(_alone, "now", False)
    _alone.now = True
    try:
        yield
    finally:
        _alone.now = before


@torch.no_grad()
def all_reduce(tensor: Tensor) -> Tensor:
    """The sum over all processes, without gradient; of any shape, the same in each process."""
    return _reduced(tensor, dist.ReduceOp.SUM)


@torch.no_grad()
def all_reduce_min(tensor: Tensor) -> Tensor:
    """The smallest over all processes, element by element; of any shape, the same in each."""
    return _reduced(tensor, dist.ReduceOp.MIN)


def _reduced(tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if world() == 1:
        return tensor
    result = tensor.detach().clone(memory_format=torch.contiguous_format)
    dist.all_reduce(result, operation)
    return result


def all_reduce_mean(tensor: Tensor) -> Tensor:
    """The mean over all processes, without gradient; of any shape, the same in each process.

    The mean of means is the mean over all images where each process has equally many.
    """
    return tensor if world() == 1 else all_reduce(tensor) / world()


class _Mean(torch.autograd.Function):
    """With m = sum_s(x_s) / W and L = sum_r(L_r) / W, and gradients averaged at the end, process s
    has to pass on W * dL/dx_s = sum_r(dL_r/dm) / W: the mean once more.
    """

    @staticmethod
    def forward(ctx: object, tensor: Tensor) -> Tensor:
        return all_reduce_mean(tensor)

    @staticmethod
    def backward(ctx: object, gradient: Tensor) -> Tensor:
        return all_reduce_mean(gradient)


def all_reduce_mean_with_gradient(tensor: Tensor) -> Tensor:
    """`all_reduce_mean` with a gradient, right once it is averaged over the processes."""
    result: Tensor = tensor if world() == 1 else _Mean.apply(tensor)
    return result


@torch.no_grad()
def average_gradients(gradients: Iterable[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in a single exchange.

    gradients: of any shapes, one dtype and device, the same list in each process.
    """
    if world() == 1:
        return
    some = list(gradients)
    flat = all_reduce_mean(torch.cat([tensor.reshape(-1) for tensor in some]))
    for tensor, values in zip(some, flat.split([tensor.numel() for tensor in some]), strict=True):
        tensor.copy_(values.view(tensor.shape))


def broadcast(value: float) -> float:
    """The number that rank 0 passed; what the others passed does not matter."""
    if world() == 1:
        return value
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    sent = torch.tensor(value, dtype=torch.float64, device=device)
    dist.broadcast(sent, 0)
    return float(sent)


def rows(batch_size: int, accumulate: int, rank: int, world: int) -> Tensor:
    """Which rows of every batch this process computes.

    A batch is laid out as [accumulate, world, b], so that piece m of it holds the same images
    however many processes share it. Process `rank` has [:, rank, :].

    Returns:
        int64 (batch_size / world,): piece after piece, b = batch_size / (accumulate * world) each.

    Raises:
        ValueError: no such b; see `training.config.indivisible`.
    """
    if batch_size % (accumulate * world):
        raise ValueError(f"{batch_size} rows in {accumulate} x {world} parts")
    return torch.arange(batch_size).view(accumulate, world, -1)[:, rank].flatten()


Handler: TypeAlias = Callable[[int, FrameType | None], object] | int | None


@contextmanager
def handled(handlers: Mapping[signal.Signals, Handler]) -> Iterator[None]:
    """Handle each signal so within the block, and as before after it; in the main thread."""
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def joined(device: torch.device, timeout: float) -> Iterator[torch.device]:
    """Belong to the processes that torchrun started; one process alone gets its device back.

    SIGINT and SIGTERM are left to rank 0: the others ignore them, so that they take part in its
    last checkpoint, and end when it has gone. A process that has lost its peers exits with
    `ABANDONED` and no message, since the one that failed reports why. After any exception the
    group is left to end with the process.

    Args:
        device: its index is replaced by LOCAL_RANK on CUDA, where NCCL connects; else Gloo does.
        timeout: seconds that a process waits for another, at the start and at each exchange.

    Yields:
        The device of this process.
    """
    if not launched():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        own = device if backend == "nccl" else None
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout), device_id=own)
        main = threading.current_thread() is threading.main_thread()
        names = (signal.SIGINT, signal.SIGTERM) if main and not is_first() else ()
        with handled(dict.fromkeys(names, signal.SIG_IGN)):
            yield device
    except RuntimeError as error:
        # NCCL, the store and the network have types of errors; Gloo shows only by its file names.
        if not isinstance(error, dist.DistError) and "gloo/" not in str(error):
            raise
        time.sleep(_PATIENCE)
        raise SystemExit(ABANDONED) from None
    # Only where all went well: to leave in order, NCCL waits for what the others still owe.
    dist.destroy_process_group()


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()


Norm = nn.BatchNorm1d | nn.BatchNorm2d


class BatchNormOfAll(nn.modules.batchnorm._BatchNorm):
    """`nn.SyncBatchNorm` for the CPU, where PyTorch has none; each process has equally many rows.

    Its state dict is `nn.BatchNorm2d`'s; in evaluation, or in a single process, so is what it does.
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  # PyTorch's name
        if input.dim() not in (2, 3, 4):
            raise ValueError(f"expected 2 to 4 dimensions, found {input.dim()}")

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """(B, F), (B, F, L) or (B, F, H, W) => the same, normalised over all but F"""
        if not self.training or world() == 1:
            return super().forward(input)
        self._check_input_dim(input)
        values = input if input.dtype == torch.float64 else input.float()
        over = [axis for axis in range(values.dim()) if axis != 1]
        # Deviations from the mean, not a difference of squares, which would cancel.
        mean = all_reduce_mean_with_gradient(values.mean(over, keepdim=True))
        deviations = values - mean
        variance = all_reduce_mean_with_gradient(deviations.square().mean(over, keepdim=True))
        self._track(mean, variance, input.numel() // input.shape[1] * world())
        normalised = deviations * torch.rsqrt(variance + self.eps)
        if self.affine:
            shape = [1, -1] + [1] * (values.dim() - 2)
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        return normalised.to(input.dtype)

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor, count: int) -> None:
        """Move the running statistics, the variance being the unbiased one of `count` values."""
        if self.running_mean is None or self.running_var is None:
            return
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.flatten().to(self.running_mean.dtype), share)
        unbiased = variance.flatten() * (count / max(1, count - 1))
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)


def synchronise(module: nn.Module) -> nn.Module:
    """`module` with every batch norm of it over all processes; as it is in a process alone.

    The parameters stay the same objects. Call it after the module is on its device.
    """
    if world() == 1:
        return module
    if any(parameter.is_cuda for parameter in module.parameters()):
        converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        return converted
    if not isinstance(module, Norm):
        for name, child in module.named_children():
            setattr(module, name, synchronise(child))
        return module
    new = BatchNormOfAll(
        module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
    )
    tensors = (*module.named_parameters(recurse=False), *module.named_buffers(recurse=False))
    for name, tensor in tensors:
        setattr(new, name, tensor)
    return new.train(module.training)
