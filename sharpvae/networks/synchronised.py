"""Batch norm over the images of all processes, as if one process had them all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sharpvae.processes import differentiable_mean, world

Norm = nn.BatchNorm1d | nn.BatchNorm2d


class BatchNormOfAll(nn.modules.batchnorm._BatchNorm):
    """`nn.SyncBatchNorm` for the CPU, where PyTorch has none; each process has equally many rows.

    Parameters, buffers and their names are `nn.BatchNorm2d`'s, so that a state dict of one fits the
    other. In evaluation, and in a process alone, it is that very function.
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
        mean = differentiable_mean(values.mean(over, keepdim=True))
        deviations = values - mean
        variance = differentiable_mean(deviations.square().mean(over, keepdim=True))
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
    return _converted(module)


def _converted(module: nn.Module) -> nn.Module:
    if isinstance(module, Norm):
        return _of_all(module)
    for name, child in module.named_children():
        new = _converted(child)
        if new is not child:
            setattr(module, name, new)
    return module


def _of_all(norm: Norm) -> BatchNormOfAll:
    """The same layer, of the same parameters and buffers."""
    new = BatchNormOfAll(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    for name, parameter in norm.named_parameters(recurse=False):
        setattr(new, name, parameter)
    for name, buffer in norm.named_buffers(recurse=False):
        setattr(new, name, buffer)
    return new.train(norm.training)
