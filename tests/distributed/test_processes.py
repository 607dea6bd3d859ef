"""Sums over processes, and who computes which rows."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
import torch
import torch.distributed
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.distributed import processes
from sharpvae.distributed.processes import (
    all_reduce_mean_with_gradient,
    alone,
    average_gradients,
    broadcast,
    joined,
    rows,
)
from tests.peers import together

FACTOR = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)


def _exchange() -> dict[str, Any]:
    rank = processes.rank()
    own = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64) * (rank + 1)
    kept = own.clone()
    told = {
        "world": processes.world(),
        "first": processes.is_first(),
        "total": processes.all_reduce(own),
        "mean": processes.all_reduce_mean(own),
        "said": broadcast(0.1 if rank == 0 else float("nan")),
        "untouched": torch.equal(own, kept),
        "ignored": [
            signal.getsignal(name) == signal.SIG_IGN for name in (signal.SIGINT, signal.SIGTERM)
        ],
    }
    parts = [own.clone(), (own * 2).view(3, 1)]
    average_gradients(parts)
    told["parts"] = parts
    if rank == 0:  # alone, or it would wait for the other
        with alone():
            told["alone"] = [processes.world(), processes.all_reduce_mean(own), broadcast(3.0)]
    told["gradient"] = _gradient(own)
    return told


def _gradient(own: torch.Tensor) -> torch.Tensor:
    """Of this process's loss (rank + 1) * sum(m^2 * x), m the mean of x over both."""
    x = own.clone().requires_grad_()
    m = all_reduce_mean_with_gradient(x)
    ((processes.rank() + 1) * (m.square() * x * FACTOR).sum()).backward()
    assert x.grad is not None
    return x.grad


@pytest.fixture(scope="module")
def told() -> list[dict[str, Any]]:
    return together(_exchange)


def test_each_knows_its_place(told: list[dict[str, Any]]) -> None:
    assert [one["world"] for one in told] == [2, 2]
    assert [one["first"] for one in told] == [True, False]
    assert [one["ignored"] for one in told] == [[False, False], [True, True]]


def test_sums_and_means_are_the_same_everywhere(told: list[dict[str, Any]]) -> None:
    for one in told:
        assert one["total"].tolist() == [3.0, 30.0, 300.0]
        assert one["mean"].tolist() == [1.5, 15.0, 150.0]
        assert [part.tolist() for part in one["parts"]] == [
            [1.5, 15.0, 150.0],
            [[3.0], [30.0], [300.0]],
        ]
        assert one["said"] == 0.1
        assert one["untouched"]


def test_alone_nobody_is_waited_for(told: list[dict[str, Any]]) -> None:
    world, mean, said = told[0]["alone"]
    assert (world, mean.tolist(), said) == (1, [1.0, 10.0, 100.0], 3.0)


def test_gradients_averaged_over_processes_are_those_of_the_mean_loss(
    told: list[dict[str, Any]],
) -> None:
    """What a process has is twice its part, so that averaging (adding and halving) restores it."""
    base = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    one, two = base.clone().requires_grad_(), (2 * base).requires_grad_()
    m = (one + two) / 2
    losses = [k * (m.square() * x * FACTOR).sum() for k, x in ((1, one), (2, two))]
    expected = torch.autograd.grad(sum(losses) / 2, [one, two])  # type: ignore[arg-type]
    for rank, gradient in enumerate(expected):
        torch.testing.assert_close(told[rank]["gradient"] / 2, gradient, rtol=1e-12, atol=0)


def test_one_process_gets_back_the_very_tensors() -> None:
    tensor = torch.rand(3, requires_grad=True)
    assert processes.all_reduce_mean(tensor) is tensor
    assert processes.all_reduce(tensor) is tensor
    assert all_reduce_mean_with_gradient(tensor) is tensor
    assert (processes.rank(), processes.world(), processes.is_first()) == (0, 1, True)
    assert broadcast(2.5) == 2.5
    with joined(torch.device("cpu"), timeout=1) as device:
        assert device == torch.device("cpu") and not torch.distributed.is_initialized()


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6))
def test_every_row_is_computed_once_and_pieces_do_not_depend_on_the_processes(
    accumulate: int, world: int, each: int
) -> None:
    size = accumulate * world * each
    shares = [rows(size, accumulate, rank, world) for rank in range(world)]
    assert sorted(torch.cat(shares).tolist()) == list(range(size))
    whole = rows(size, accumulate, 0, 1).view(accumulate, -1)
    for piece in range(accumulate):
        held = torch.cat([share.view(accumulate, each)[piece] for share in shares])
        assert sorted(held.tolist()) == whole[piece].tolist()


def test_a_batch_that_cannot_be_shared_is_refused() -> None:
    with pytest.raises(ValueError, match="64 rows in 3 x 2 parts"):
        rows(64, 3, 0, 2)


@pytest.mark.parametrize(
    ("error", "quiet"),
    [
        (RuntimeError("[third_party/gloo/gloo/transport/tcp/pair.cc:1] closed by peer"), True),
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_losing_the_others_is_told_from_a_fault_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, error: RuntimeError, quiet: bool
) -> None:
    for name, value in zip(processes.VARIABLES, ("0", "0", "1", "127.0.0.1", "0"), strict=True):
        monkeypatch.setitem(os.environ, name, value)

    monkeypatch.setattr(processes, "_PATIENCE", 0.0)

    def fail() -> None:
        with joined(torch.device("cpu"), timeout=10):
            assert torch.distributed.is_initialized()
            raise error

    with pytest.raises(SystemExit if quiet else RuntimeError) as caught:
        fail()
    torch.distributed.destroy_process_group()
    if quiet:
        assert caught.value.code == processes.ABANDONED  # type: ignore[attr-defined]
