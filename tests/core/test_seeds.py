"""Streams of random numbers: repeatable, and one for each purpose."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.core.seeds import generator, global_seed, seed_of


@given(st.integers(0, 2**40), st.text(max_size=20))
def test_a_seed_is_one_of_63_bits_and_repeats(seed: int, purpose: str) -> None:
    assert seed_of(seed, purpose) == seed_of(seed, purpose)
    assert 0 <= seed_of(seed, purpose) < 2**63


def test_purposes_and_seeds_do_not_share_a_stream() -> None:
    seeds = {seed_of(seed, purpose) for seed in range(100) for purpose in ("order", "noise")}
    assert len(seeds) == 200


def test_a_generator_repeats() -> None:
    first, second = (torch.rand(5, generator=generator(0, "order")) for _ in range(2))
    assert torch.equal(first, second)


def test_the_global_generator_is_seeded_inside_and_untouched_outside() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    draws = []
    for _ in range(2):
        with global_seed(0, "weights"):
            draws.append(torch.rand(3))
    assert torch.equal(draws[0], draws[1])
    assert torch.equal(torch.rand(3), expected)
