"""Ways through the latent space, held to geometry."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.sampling.pictures import along, interpolate, traverse

VECTOR = st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4).map(torch.tensor)


@given(VECTOR, VECTOR, st.integers(2, 9), st.sampled_from(["linear", "spherical"]))
def test_a_path_leads_from_one_end_to_the_other(start, end, steps: int, path: str) -> None:
    codes = interpolate(start, end, steps, path)
    assert codes.shape == (steps, 4) and codes.dtype == torch.float32
    assert torch.allclose(codes[0], start, atol=1e-4)
    assert torch.allclose(codes[-1], end, atol=1e-4)


@given(VECTOR, VECTOR)
def test_a_spherical_path_keeps_the_length_and_turns_evenly(start, end) -> None:
    if min(start.norm(), end.norm()) < 0.1:
        return
    a, b = start / start.norm() * 3, end / end.norm() * 3
    if abs(torch.dot(a, b)) > 9 * 0.99:
        return
    codes = interpolate(a, b, 7, "spherical").double()
    assert torch.allclose(codes.norm(dim=1), torch.tensor(3.0).double(), atol=1e-4)
    cosines = (codes[1:] * codes[:-1]).sum(1) / 9
    assert torch.allclose(cosines, cosines[0], atol=1e-4)


def test_a_linear_path_goes_through_the_middle() -> None:
    codes = interpolate(torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0]), 3, "linear")
    assert torch.equal(codes[1], torch.tensor([1.0, 1.0]))


@pytest.mark.parametrize("end", [[0.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])
def test_a_spherical_path_without_a_turn_is_straight(end: list[float]) -> None:
    start = torch.tensor([1.0, 0.0])
    codes = interpolate(start, torch.tensor(end), 3, "spherical")
    assert torch.allclose(codes[1], (start + torch.tensor(end)) / 2, atol=1e-6)


def test_a_traversal_changes_one_dimension_a_row() -> None:
    base = torch.tensor([0.1, 0.2, 0.3])
    codes = traverse(base, [2, 0], 3.0, 5)
    assert codes.shape == (2, 5, 3)
    for row, dimension in enumerate([2, 0]):
        others = [i for i in range(3) if i != dimension]
        assert (codes[row][:, others] == base[others]).all()
        assert torch.allclose(codes[row][:, dimension], torch.tensor([-3.0, -1.5, 0, 1.5, 3]))


def test_arithmetic_adds_shares_of_the_direction() -> None:
    code, direction = torch.tensor([1.0, 1.0]), torch.tensor([2.0, -4.0])
    codes = along(code, direction, torch.tensor([0.0, 0.5, 1.5]))
    assert codes.tolist() == [[1, 1], [2, -1], [4, -5]]
