from __future__ import annotations

import pytest

from sharpvae.report.scores import Comparison, Estimate
from sharpvae.report.tables import gap_table, reading
from tests.report.tree import BLURRY


def comparison(prior: float, mixture: float, bottom: float, active: float = 20.0) -> Comparison:
    scores = BLURRY | {
        "fid": prior, "fid_mixture": mixture, "fid_reconstruction": bottom, "active_units": active,
    }  # fmt: skip
    row = {key: None if value is None else Estimate((value,)) for key, value in scores.items()}
    return Comparison((0,), {"one": row}, {"one": 32})


@pytest.mark.parametrize(
    ("fids", "parts"),
    [
        ((40.0, 15.0, 10.0), ["lies with the codes", "closes 83\N{NO-BREAK SPACE}% of the gap"]),
        ((40.0, 10.0, 30.0), ["lies with the decoder", "closes 100\N{NO-BREAK SPACE}%"]),
        ((40.0, 45.0, 10.0), ["lies with the codes", "does not help"]),
        ((40.0, 40.0, 10.0), ["does not help"]),
        ((9.0, 8.0, 10.0), ["the prior costs nothing"]),
        ((10.01, 8.0, 10.0), ["the prior costs nothing"]),  # alike with one digit
    ],
)
def test_the_gap_is_read_from_the_three(fids: tuple[float, ...], parts: list[str]) -> None:
    sentence = reading(comparison(*fids), "one", 1)
    assert all(part in sentence for part in parts), sentence


def test_of_a_collapsed_variant_no_gap_is_read() -> None:
    assert "collapsed" in reading(comparison(40.0, 15.0, 10.0, active=0.0), "one", 1)


def test_the_three_stand_side_by_side() -> None:
    (row,) = gap_table(comparison(40.0, 15.0, 10.0)).rows
    assert row[:4] == ["one", "40", "15", "10"]
