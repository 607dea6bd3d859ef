from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from sharpvae.report.verdict import verdict
from tests.report.tree import BLURRY, SHARP, comparison, run_elsewhere, run_of

WILD = (1.0, 2.6, 0.4)


def seeds(scores: dict[str, float | None], *factors: float) -> list[dict[str, float | None]]:
    """FID and blur, times a factor for each seed."""
    moved = ("fid", "blur_px")
    return [
        scores | {key: factor * value for key in moved if (value := scores[key]) is not None}
        for factor in factors
    ]


def test_one_seed_is_over_judges_and_images() -> None:
    found = verdict(comparison({"original": [BLURRY], "improved": [SHARP]}))
    assert found.outcome == "better"
    assert found.sentence.startswith(
        "improved is better than original: samples of original are as blurry as real images "
        "blurred by 1.00 px, improved 0.50 px (ratio of FIDs 0.38, 95\N{NO-BREAK SPACE}% interval "
    )
    assert "one seed: over judges and images); the decoder, not the prior" in found.sentence
    assert "seeds: [0, 1, 2]" in found.notes[0]


def test_several_seeds() -> None:
    steady = (1.0, 1.01, 0.99, 1.005, 0.995)
    runs = {"original": seeds(BLURRY, *steady), "improved": seeds(SHARP, *steady[::-1])}
    found = verdict(comparison(runs))
    assert found.outcome == "better"
    assert "5 seeds: over seeds, judges and images" in found.sentence
    assert found.notes == []


def test_seeds_that_scatter_show_nothing() -> None:
    near = BLURRY | {"fid": 110.0, "blur_px": 0.9}
    runs = {"original": seeds(BLURRY, *WILD), "improved": seeds(near, *WILD[::-1])}
    found = verdict(comparison(runs))
    assert found.outcome == "not shown"
    assert found.sentence.startswith("improved and original: no difference shown")


def test_worse_the_same_and_mixed() -> None:
    def outcome(ours: dict[str, float | None], theirs: dict[str, float | None]) -> str:
        return verdict(comparison({"original": [theirs], "improved": [ours]})).outcome

    assert outcome(BLURRY, SHARP) == "worse"
    assert outcome(SHARP, SHARP) == "not shown"
    assert outcome(SHARP | {"blur_px": 1.5}, BLURRY) == "mixed"


def test_fog_that_is_not_blurred_wins_nothing() -> None:
    """The judges agree that it is worse, each by another factor, so that nothing is shown."""
    fog, sharp = BLURRY | {"blur_px": 0.5}, SHARP | {"blur_px": 0.7}
    factors = {"imagenet": 0.5, "learned": 0.02, "pixels": 0.9}
    ours, theirs = run_of(sharp), run_of(fog)
    for name, factor in factors.items():
        ours["judges"]["fid"][name] = factor * theirs["judges"]["fid"][name]
        rows = theirs["replicates"]["fid"][name]
        ours["replicates"]["fid"][name] = [factor * value for value in rows]
    found = comparison({"original": [theirs], "improved": [ours]})
    assert found.change("improved", "fid") == "no difference shown"
    assert found.change("improved", "blur_px") == "worse"
    assert verdict(found).outcome == "mixed"


def test_the_prior_may_blur() -> None:
    found = verdict(comparison({"one": [BLURRY | {"blur_px_reconstruction": 0.2}]}))
    assert "the prior adds to the blur of reconstructions, 0.20 px" in found.sentence


def test_sharp_samples_are_said_to_be_sharp() -> None:
    found = verdict(comparison({"one": [BLURRY | {"blur_px": 0.0}]}))
    assert found.sentence.startswith("Samples of one are as sharp as real images.")


@pytest.mark.parametrize("missing", ["blur_px", "fid"])
def test_a_score_that_is_missing(missing: str) -> None:
    runs = {"original": [BLURRY], "improved": [SHARP | {missing: None}]}
    found = verdict(comparison(runs))
    assert found.outcome == "better"
    assert ("no blur that could be measured" in found.sentence) == (missing == "blur_px")
    assert ("ratio of FIDs" in found.sentence) == (missing == "blur_px")


def test_a_collapsed_variant_shows_nothing() -> None:
    found = verdict(comparison({"original": [BLURRY], "improved": [run_of(SHARP, True)]}))
    assert found.outcome == "collapsed"
    assert found.sentence.startswith("improved has collapsed: the codes of all images are the same")
    assert found.sentence.endswith("it shows nothing against original.")


def test_a_collapsed_baseline_is_told() -> None:
    found = verdict(comparison({"original": [run_of(BLURRY, True)], "improved": [SHARP]}))
    assert found.outcome == "better"
    assert found.notes[0].startswith("original has collapsed")


def test_one_collapsed_seed_counts() -> None:
    runs = {"original": [BLURRY] * 3, "improved": [run_of(SHARP), run_of(SHARP, True), SHARP]}
    found = verdict(comparison(runs))
    assert found.outcome == "collapsed"
    assert "improved has collapsed in seed 1" in found.sentence


def test_a_lone_variant() -> None:
    found = verdict(comparison({"original": [BLURRY]}))
    assert found.outcome == "alone"
    assert "no baseline to compare with" in found.sentence
    assert verdict(comparison({"original": [run_of(BLURRY, True)]})).outcome == "collapsed"


def test_each_step_of_three_is_told_with_its_interval() -> None:
    sharper = SHARP | {"fid": 9.0, "blur_px": 0.1, "coverage": 0.9}
    runs = {"original": [BLURRY], "improved": [SHARP], "sharp": [sharper]}
    first, second = verdict(comparison(runs)).steps
    assert first.startswith("From original to improved: better, ratio of FIDs 0.38, 95")
    assert second.startswith("From improved to sharp: better, ratio of FIDs 0.20, 95")
    assert second.endswith("blur 0.50 to 0.10 px; coverage 0.50 to 0.90.")
    assert verdict(comparison({"original": [BLURRY], "improved": [SHARP]})).steps == []


def test_a_step_without_a_difference_says_so() -> None:
    runs = {"original": [BLURRY], "improved": [SHARP], "same": [SHARP]}
    assert (
        "to same: no difference shown, ratio of FIDs 1.0, 95" in verdict(comparison(runs)).steps[1]
    )


def test_the_best_is_chosen_on_validation() -> None:
    lucky = run_of(SHARP | {"fid": 20.0})
    lucky["validation"] |= {"fid": 60.0}
    runs = {"original": [BLURRY], "improved": [SHARP], "lucky": [lucky]}
    assert verdict(comparison(runs)).sentence.startswith("improved is better than original")


def test_images_made_elsewhere_are_no_step_between_trained_variants() -> None:
    theirs = run_elsewhere(SHARP | {"fid": 30.0})
    runs = {"original": [BLURRY], "theirs": [theirs], "improved": [SHARP], "more": [theirs]}
    found = comparison(runs)
    assert found.elsewhere == ["theirs", "more"] and not found.given
    assert found.steps == [
        ("theirs", "original"), ("improved", "original"), ("more", "original"),
    ]  # fmt: skip
    said = verdict(found)
    assert [step.split(":")[0] for step in said.steps] == [
        "From original to theirs", "From original to improved", "From original to more",
    ]  # fmt: skip
    assert "theirs and more were made elsewhere" in said.notes[-1]
    only = verdict(comparison({"theirs": [theirs], "more": [theirs]}))
    assert "seed" not in only.sentence and len(only.notes) == 1


def test_a_trained_baseline_or_one_made_elsewhere_is_what_the_first_is() -> None:
    runs = {"theirs": [run_elsewhere(SHARP)], "original": [BLURRY], "improved": [SHARP]}
    assert comparison(runs).steps == [("original", "theirs"), ("improved", "original")]


def test_the_same_images_for_each_seed_tell_nothing_of_seeds() -> None:
    """Of them alone; against a trained one its seeds count, as in a t-test of one sample."""
    fids = (100.0, 110.0, 125.0)
    runs = {
        "original": [BLURRY | {"coverage": fid / 1000} for fid in fids],
        "theirs": [run_elsewhere(SHARP)] * 3,
    }
    for own in runs["theirs"]:
        own["replicates"] = {}
    found = comparison(runs)
    estimate = found.estimate("theirs", "coverage")
    assert estimate is not None and estimate.sources == ()
    effect = found.effects["theirs", "coverage"]
    values = np.array(fids) / 1000
    test = ttest_1samp(values, SHARP["coverage"]).confidence_interval(0.95)
    assert effect.low == pytest.approx(-(test.high - SHARP["coverage"]), rel=2e-3)
    assert effect.high == pytest.approx(-(test.low - SHARP["coverage"]), rel=2e-3)
