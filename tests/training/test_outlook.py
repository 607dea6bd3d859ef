"""The outlook on curves whose end is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.training.outlook import FEWEST, WORTH, Outlook, outlook

DONE = Outlook(False, None)


def decay(epochs: int, tau: float, limit: float, height: float, noise: float = 0.0, seed: int = 0):
    time = np.arange(epochs)
    draws = np.random.default_rng(seed).normal(size=epochs)
    return (limit + height * np.exp(-time / tau) + noise * draws).tolist()


@given(
    tau=st.floats(8, 40), limit=st.floats(-50, 50).filter(lambda x: abs(x) > 1),
    share=st.floats(0.5, 20), epochs=st.integers(20, 60),
)  # fmt: skip
def test_what_is_left_of_a_decay_is_worked_out(
    tau: float, limit: float, share: float, epochs: int
) -> None:
    height = share * abs(limit)
    left = height * math.exp(-(epochs - 1) / tau)
    end = abs(limit + left)
    found = outlook(decay(epochs, tau, limit, height))
    if left < 0.9 * WORTH * end:
        assert found == DONE
    elif left > 1.1 * WORTH * end and end > 0.1:
        assert found.falling
        exact = tau * math.log(left / (WORTH * end))
        if exact < 3 * epochs:
            assert found.wanted == pytest.approx(exact, rel=0.1, abs=1.5)


@pytest.mark.parametrize("seed", range(5))
def test_noise_does_not_hide_a_fall_nor_make_one(seed: int) -> None:
    falling = outlook(decay(40, 20.0, 10.0, 40.0, 0.1, seed))
    assert falling.falling
    assert falling.wanted is not None and 10 < falling.wanted < 120  # 48 without noise
    assert outlook(decay(60, 4.0, 10.0, 40.0, 0.05, seed)) == DONE


def test_noise_alone_is_rarely_a_fall() -> None:
    alarms = sum(outlook(decay(30, 1.0, 10.0, 0.0, 1.0, seed)).falling for seed in range(200))
    assert alarms <= 20, "5 % by chance"


def test_a_fall_that_does_not_slow_down_has_no_end_in_sight() -> None:
    assert outlook([100.0 - t for t in range(30)]) == Outlook(True, None)


def test_rising_and_flat_losses_and_too_few_are_no_fall() -> None:
    assert outlook([10.0 + t for t in range(30)]) == DONE
    assert outlook([10.0] * 30) == DONE
    assert outlook([10.0 / (1 + t) for t in range(FEWEST - 1)]) == DONE


def test_the_warm_up_before_has_no_say() -> None:
    end = decay(30, 10.0, 10.0, 40.0)
    assert outlook([500.0, 20.0] * 5 + end + end[-1:] * 10) == outlook(
        [0.0] * 10 + end + end[-1:] * 10
    )
