"""One rule, which real collapses meet and healthy codes do not."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.core.collapse import NOTHING, collapsed

nats = st.floats(0, 100)


@pytest.mark.parametrize(
    ("kl", "signals", "information"),
    [
        (0.01, 0, 0.0),
        (0.01, 300, None),  # every mean moves, by less than noise
        (30.0, 0, None),  # free bits, and every posterior the same
        (30.0, 0, 0.02),
        (30.0, 4, 0.4),  # one that moves a little
    ],
)
def test_collapses(kl: float, signals: int, information: float | None) -> None:
    found, sentence = collapsed(kl, signals, information)
    assert found and sentence.startswith("collapsed: ")


@pytest.mark.parametrize(
    ("kl", "signals", "information"),
    [
        (11.6, 9, 6.0),  # of 200 dimensions
        (34.3, 30, 18.7),  # of 512
        (2.0, 1, None),  # one dimension that tells two classes apart, and a little
        (12.5, 0, 12.5),  # many axes under the threshold, which together tell much
    ],
)
def test_healthy_codes(kl: float, signals: int, information: float | None) -> None:
    found, sentence = collapsed(kl, signals, information)
    assert not found and sentence.startswith("not collapsed: ")


def test_ln_2_is_where_two_halves_can_be_told_apart() -> None:
    assert collapsed(NOTHING * 0.999, 1)[0]
    assert not collapsed(NOTHING, 1)[0]
    assert math.exp(NOTHING) == pytest.approx(2)


def test_the_sentence_gives_the_lowest_bound() -> None:
    assert "at most 0.25 nats" in collapsed(9.0, 3, 0.25)[1]
    assert "1 axis carries up to 4.5 nats" in collapsed(9.0, 1, 4.5)[1]
    assert "2 axes carry up to 9 nats" in collapsed(9.0, 2, 11.0)[1]
    assert "the same, whatever the KL (9 nats)" in collapsed(9.0, 0)[1]


@given(nats, nats, st.integers(0, 9), st.none() | nats)
def test_more_kl_never_makes_a_collapse(
    kl: float, more: float, signals: int, information: float | None
) -> None:
    if not collapsed(kl, signals, information)[0]:
        assert not collapsed(kl + more, signals, information)[0]


@pytest.mark.parametrize("bad", [(math.nan, 1, None), (1.0, 1, math.nan), (-1.0, 1, None)])
def test_no_number_no_verdict(bad: tuple[float, int, float | None]) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        collapsed(*bad)
