from __future__ import annotations

import pytest

from sharpvae.report.scores import Comparison, Estimate
from sharpvae.report.verdict import verdict
from tests.report.tree import BLURRY, SHARP

Scores = dict[str, float | None]

STEADY = (1.0, 1.01, 0.99)
WILD = (1.0, 1.9, 0.1)


def compared(spread: tuple[float, ...] = (1.0,), **variants: Scores) -> Comparison:
    """Every variant's FID and sharpness over as many seeds as `spread` has factors."""
    return Comparison(
        seeds=tuple(range(len(spread))),
        estimates={
            name: {
                key: None
                if value is None
                else Estimate(
                    tuple(value * (f if key in ("fid", "sharpness") else 1) for f in spread)
                )
                for key, value in scores.items()
            }
            for name, scores in variants.items()
        },
        latent_dims=dict.fromkeys(variants, 32),
    )


def test_improved_over_three_seeds() -> None:
    found = verdict(compared(STEADY, original=BLURRY, improved=SHARP))
    assert found.outcome == "improved"
    assert found.sentence == (
        "improved beats original: FID falls from 120.4 to 45.2 (\N{MINUS SIGN}62\N{NO-BREAK SPACE}"
        "%), and sharpness rises from 0.080 to 0.610 of the real images' (goal 1); the "
        "95\N{NO-BREAK SPACE}% intervals over 3 seeds do not overlap."
    )
    assert found.notes == []


def test_one_seed_is_no_finding() -> None:
    found = verdict(compared(original=BLURRY, improved=SHARP))
    assert found.outcome == "improved"
    assert found.sentence.startswith("improved scores better than original: FID falls")
    assert "not yet a finding" in found.sentence
    assert "seeds: [0, 1, 2]" in found.notes[0]


def test_overlapping_intervals_show_nothing() -> None:
    near = BLURRY | {"fid": 110.0, "sharpness": 0.09}
    found = verdict(compared(WILD, original=BLURRY, improved=near))
    assert found.outcome == "unclear"
    assert "may be chance" in found.sentence
    assert found.sentence.endswith("intervals over 3 seeds overlap.")


def test_fid_may_separate_alone() -> None:
    similar = SHARP | {"sharpness": 0.081}
    found = verdict(compared(STEADY, original=BLURRY, improved=similar))
    assert found.outcome == "improved"
    assert found.sentence.endswith("separate for FID but overlap for sharpness.")


def test_not_improved() -> None:
    found = verdict(compared(original=SHARP, improved=BLURRY))
    assert found.outcome == "not improved"
    assert found.sentence.startswith("improved does not beat original: FID rises from 45.2 to")
    assert "further from the goal of 1" in found.sentence


def test_the_same_is_not_improved() -> None:
    found = verdict(compared(original=SHARP, improved=SHARP | {"fid": 45.2001}))
    assert found.outcome == "not improved"
    assert "FID stays at 45.20, and sharpness stays at 0.610" in found.sentence


@pytest.mark.parametrize("sharpness", [0.01, 2.5])
def test_better_fid_with_worse_sharpness_is_mixed(sharpness: float) -> None:
    found = verdict(compared(original=BLURRY, improved=SHARP | {"sharpness": sharpness}))
    assert found.outcome == "mixed"
    assert ", but sharpness" in found.sentence


def test_a_collapsed_variant_shows_nothing() -> None:
    collapsed = SHARP | {"sharpness": 0.88, "active_units": 0.0}
    found = verdict(compared(original=BLURRY, improved=collapsed))
    assert found.outcome == "collapsed"
    assert found.sentence == (
        "improved has collapsed, so it shows nothing against original: none of its 32 latent "
        "dimensions is active, its sharpness of 0.880 means nothing, and its FID is 45.2 against "
        "120.4."
    )


def test_a_collapsed_baseline_is_easily_beaten() -> None:
    collapsed = BLURRY | {"sharpness": 0.88, "active_units": 0.4}
    found = verdict(compared(original=collapsed, improved=SHARP))
    assert found.outcome == "improved"
    assert "which has collapsed" in found.sentence
    assert "0.88" not in found.sentence
    assert "original has collapsed: only 0.400 of its 32" in found.notes[0]


def test_one_collapsed_seed_counts() -> None:
    scores = compared(STEADY, original=BLURRY, improved=SHARP)
    units = {"active_units": Estimate((19.0, 0.0, 18.0))}
    estimates = {**scores.estimates, "improved": {**scores.estimates["improved"], **units}}
    found = verdict(Comparison(scores.seeds, estimates, scores.latent_dims))
    assert found.outcome == "collapsed"
    assert "none of its 32 latent dimensions is active in seed 1" in found.sentence


def test_the_best_of_several_is_named_as_picked() -> None:
    others = {"wide": SHARP | {"fid": 30.0}, "flat": SHARP | {"fid": 9.0, "active_units": 0.0}}
    found = verdict(compared(STEADY, original=BLURRY, improved=SHARP, **others))
    assert found.sentence.startswith("wide beats original: FID falls from 120.4 to 30.0")
    assert any(note.startswith("flat has collapsed") for note in found.notes)
    assert any("wide was picked from 3 variants" in note for note in found.notes)


def test_a_lone_variant() -> None:
    found = verdict(compared(original=BLURRY))
    assert found.outcome == "alone"
    assert "no baseline to compare with" in found.sentence
    assert verdict(compared(original=BLURRY | {"active_units": 0.0})).outcome == "collapsed"
