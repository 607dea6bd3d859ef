"""The best epoch."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sharpvae.training.loop import Best

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), min_size=1, max_size=20)


@given(VALUES, st.integers(0, 5))
def test_it_is_the_first_of_the_lowest(values: list[float], patience: int) -> None:
    best, network = Best(patience), nn.Linear(1, 1, bias=False)
    for epoch, value in enumerate(values, start=1):
        nn.init.constant_(network.weight, epoch)
        lowest = all(not value >= before for before in values[: epoch - 1] if before == before)
        assert best.offer(epoch, value, network) == (value == value and lowest)
        waited = epoch - best.epoch
        assert best.hopeless(epoch) == (patience > 0 and waited >= patience)
    numbers = [value for value in values if value == value]
    if numbers:
        assert best.epoch == values.index(min(numbers)) + 1
        assert best.state["weight"].item() == best.epoch, "the weights of then, not of now"


def test_it_goes_on_where_it_was() -> None:
    best, again = Best(3), Best(3)
    best.offer(4, 2.5, nn.Linear(2, 2))
    again.load_state_dict(best.state_dict())
    assert (again.epoch, again.value) == (4, 2.5)
    assert torch.equal(again.state["weight"], best.state["weight"])
