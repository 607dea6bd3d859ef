"""What an update costs, budgets matched by it, and times foretold."""

from __future__ import annotations

import pytest

from sharpvae.proof.cost import Forecast, matched
from tests.proof.test_plan import plan


def test_matched_arms_cost_what_the_first_variant_costs() -> None:
    made = plan(match="multiply_adds")
    costs = {arm: 1000 * (1 + 3 * ("network" in own.on)) for arm, own in made.arms.items()}
    equal = matched(made, costs)
    for arm, sections in equal.variants.items():
        updates = sections["train"]["updates"]
        assert updates == (6 if "network" in made.arms[arm].on else 26)
        assert updates * costs[arm] <= 26 * 1000
    assert matched(plan(), costs).variants["sharp"]["train"]["updates"] == 26


def test_a_forecast_goes_through_both_ends_and_counts_the_seeds() -> None:
    made = plan()
    costs = {arm: 10 + 5 * len(own.on) for arm, own in made.arms.items()}
    training = {"original": 20.0, "sharp": 60.0}
    whole = {"original": 32.0, "sharp": 72.0}
    forecast = Forecast(made, costs, whole, training)
    assert forecast.seconds("original") == pytest.approx(3 * 32)
    assert forecast.seconds("sharp") == pytest.approx(3 * 72)
    assert forecast.seconds("plus-loss") == pytest.approx(3 * (12 + 30))


def test_a_forecast_of_ends_that_cost_alike_is_what_they_took() -> None:
    made = plan()
    costs = dict.fromkeys(made.arms, 10)
    forecast = Forecast(made, costs, {"original": 30, "sharp": 30}, {"original": 20, "sharp": 20})
    assert forecast.seconds("plus-loss") == pytest.approx(3 * 30)
