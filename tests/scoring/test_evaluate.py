"""One run's scores: two splits apart, replicates for intervals, what is left out."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpvae.scoring.evaluate import (
    DRAWN,
    Evaluated,
    add_disentanglement,
    add_likelihood,
    evaluate,
    replicates,
)
from sharpvae.scoring.judges import PixelJudge, RandomJudge
from sharpvae.scoring.measures import blurred, psnr
from sharpvae.scoring.panel import Images, Scale, extract
from sharpvae.scoring.resampled import GROUPS, extrapolated
from sharpvae.scoring.scores import Looked, Reals, score, training
from tests.scoring.pictures import METRICS, discs

CPU = torch.device("cpu")
JUDGES = {"pixels": PixelJudge(), "random": RandomJudge(1)}
TRAIN, TEST, VALIDATION = discs(150, 0), discs(60, 1), discs(40, 2)
SCALES = {name: Scale.of(extract(judge, TEST, 64, CPU)) for name, judge in JUDGES.items()}


def drawn(images: Images) -> Looked:
    found = {name: extract(judge, images, 64, CPU) for name, judge in JUDGES.items()}
    return Looked(images, {name: SCALES[name](raw) for name, raw in found.items()})


def real(images: Images) -> Reals:
    return Reals(images, drawn(images).features, dict.fromkeys(JUDGES, 1.0))


@pytest.fixture(scope="module")
def sets() -> dict[str, Looked]:
    copies = TRAIN[np.arange(60) % 20]
    return {
        "prior": drawn(copies), "mixture": drawn(discs(60, 5)), "flow": drawn(discs(60, 6)),
        "reconstruction": drawn(blurred(TEST, 0.7)),
    }  # fmt: skip


@pytest.fixture(scope="module")
def found(sets: dict[str, Looked]) -> Evaluated:
    again = drawn(blurred(VALIDATION, 0.7))
    reals = real(TEST), real(VALIDATION)
    train = training(TRAIN, reals[0])
    return evaluate(sets, "prior", *reals, train, METRICS, again)


def test_the_validation_split_is_scored_apart_from_test(
    found: Evaluated, sets: dict[str, Looked]
) -> None:
    mixture = sets["mixture"]
    for where, reals in (("scores", real(TEST)), ("validation", real(VALIDATION))):
        alone = score(mixture, reals, METRICS)
        assert getattr(found, where)["fid_mixture"] == pytest.approx(alone.values["fid"])
    assert found.scores["fid_mixture"] != found.validation["fid_mixture"]
    again = blurred(VALIDATION, 0.7)
    assert found.validation["psnr"] == pytest.approx(psnr(VALIDATION, again).mean())
    assert found.scores["psnr"] == pytest.approx(psnr(TEST, blurred(TEST, 0.7)).mean())


def test_reconstructions_are_not_searched_for_copies(found: Evaluated) -> None:
    for key in ("copied", "nn_ratio"):
        assert key in found.scores and f"{key}_mixture" in found.scores
        assert f"{key}_reconstruction" not in found.scores
        assert key not in found.validation
    assert found.scores["copied"] == 1 and found.suspects


def test_replicates_are_one_a_group(found: Evaluated) -> None:
    made = found.replicates
    for suffix in ("", "_prior", "_mixture", "_flow", "_reconstruction"):
        assert set(made[f"fid{suffix}"]) == set(JUDGES)
        for judge in JUDGES:
            assert len(made[f"fid{suffix}"][judge]) == GROUPS
        for key in ("sharpness", "blur_px", "artefact", "density", "coverage"):
            assert len(made[f"{key}{suffix}"]) == GROUPS
            assert np.isfinite(made[f"{key}{suffix}"]).all()
    assert len(made["psnr"]) == GROUPS


def test_replicates_are_the_score_without_a_group(
    found: Evaluated, sets: dict[str, Looked]
) -> None:
    kept, mixture = np.arange(60) % GROUPS != 3, sets["mixture"]
    reals = Reals(
        TEST[kept],
        {n: own[kept] for n, own in real(TEST).features.items()},
        dict.fromkeys(JUDGES, 1),
    )
    fakes = {name: own[kept] for name, own in mixture.features.items()}
    alone = score(Looked(mixture.images[kept], fakes), reals, METRICS)
    made = found.replicates
    for judge, value in alone.judges.items():
        assert made["fid_mixture"][judge][3] == pytest.approx(value, rel=1e-3)
    for key in ("sharpness", "density", "coverage"):
        assert made[f"{key}_mixture"][3] == pytest.approx(alone.values[key]), key
    for key in ("blur_px", "artefact"):
        assert made[f"{key}_mixture"][3] == pytest.approx(alone.values[key], abs=1e-6), key


def test_the_limit_is_the_leading_judges(found: Evaluated) -> None:
    for suffix in ("", "_prior", "_mixture", "_flow", "_reconstruction"):
        rows = np.array(found.replicates[f"fid{suffix}"]["pixels"])
        limit = extrapolated(found.judges[f"fid{suffix}"]["pixels"], rows)[0]
        assert found.scores[f"fid_limit{suffix}"] == pytest.approx(limit)


def test_every_set_has_its_spectrum_and_sharpness(found: Evaluated) -> None:
    for name in ("headline", *DRAWN):
        assert len(found.power[name]) > 5 and found.sharpness[name].shape == (60,)
        assert found.artefacts[name] in (None, "noise", "checkerboard")
    assert 0.5 < found.scores["blur_px_reconstruction"] < 0.9


def test_the_headline_is_one_of_the_sets(found: Evaluated, sets: dict[str, Looked]) -> None:
    again = drawn(blurred(VALIDATION, 0.7))
    reals = real(TEST), real(VALIDATION)
    other = evaluate(sets, "mixture", *reals, training(TRAIN, reals[0]), METRICS, again)
    for key in ("fid", "blur_px", "coverage", "copied"):
        assert found.scores[key] == found.scores[f"{key}_prior"]
        assert other.scores[key] == other.scores[f"{key}_mixture"] == found.scores[f"{key}_mixture"]
    assert other.validation["fid"] == found.validation["fid_mixture"]
    assert other.judges["fid"] == found.judges["fid_mixture"]
    assert other.replicates["fid"] == found.replicates["fid_mixture"]
    assert np.array_equal(other.sharpness["headline"], found.sharpness["mixture"])
    assert found.suspects != other.suspects


def test_few_images_have_no_replicates_and_no_limit() -> None:
    few, test = {name: drawn(TEST[:3]) for name in DRAWN}, real(TEST[:3])
    found = evaluate(
        few, "flow", test, real(VALIDATION[:2]), training(TRAIN, test), METRICS,
        drawn(VALIDATION[:2]),
    )  # fmt: skip
    assert found.replicates == {}
    assert found.scores["fid_limit"] is None and found.scores["fid"] is not None
    assert found.scores["coverage"] is None and "coverage_mixture" in found.reasons


def test_a_score_that_a_part_of_the_images_has_not_has_no_replicates() -> None:
    """Ten images are not constant: enough for the blur, but not without one of them."""
    images = np.concatenate([discs(10, 7), np.full((50, 32, 32, 1), 90, np.uint8)])
    set_, reals = drawn(images), real(TEST)
    scored = score(set_, reals, METRICS)
    assert scored.values["blur_px"] is not None
    made, why = replicates(scored, set_, reals, METRICS)
    assert set(made) == {"fid", "sharpness", "density", "coverage"}
    few = "no interval: 9 images that are not constant; 10 are needed"
    assert why == {"blur_px": few, "artefact": few}


def test_neighbours_that_no_group_may_miss_have_no_replicates() -> None:
    metrics = METRICS.model_copy(update={"neighbours": 57})
    set_, reals = drawn(discs(60, 5)), real(TEST)
    scored = score(set_, reals, metrics)
    assert scored.values["coverage"] is not None
    made, why = replicates(scored, set_, reals, metrics)
    assert "coverage" not in made and "at least 64 are needed" in why["coverage"]


def test_noise_has_no_blur_but_an_interval_of_its_own() -> None:
    noise = np.random.default_rng(0).integers(0, 256, TEST.shape, dtype=np.uint8)
    set_, reals = drawn(noise), real(TEST)
    scored = score(set_, reals, METRICS)
    assert scored.values["blur_px"] is None and "no blur is seen" in scored.reasons["blur_px"]
    made, _ = replicates(scored, set_, reals, METRICS)
    assert "blur_px" not in made
    assert made["artefact"] == pytest.approx([scored.values["artefact"]] * GROUPS, abs=0.02)


def likelihood(folder: Path, left_out: str | None, **arrays: np.ndarray) -> Evaluated:
    (folder / "likelihood.json").write_text(json.dumps({"left_out": left_out}))
    if arrays:
        np.savez(folder / "likelihood.npz", **arrays)
    found = Evaluated()
    counts = {name: len(arrays.get(name, ())) for name in ("test", "validation")}
    add_likelihood(found, folder, counts)
    return found


def test_a_likelihood_is_of_both_splits_with_replicates_of_test(tmp_path: Path) -> None:
    log_p = np.random.default_rng(0).normal(-90, 5, 60)
    unseen = {"validation": log_p[:40], "validation_elbo": log_p[:40] - 3}
    found = likelihood(tmp_path, None, test=log_p, test_elbo=log_p - 2.5, **unseen)
    assert found.scores == pytest.approx({"nll": -log_p.mean(), "elbo_gap": 2.5})
    assert found.validation == pytest.approx({"nll": -log_p[:40].mean(), "elbo_gap": 3})
    kept = np.arange(60) % GROUPS != 3
    assert found.replicates["nll"][3] == pytest.approx(-log_p[kept].mean())
    few = likelihood(tmp_path, None, test=log_p[:5], test_elbo=log_p[:5], **unseen)
    assert few.scores["nll"] == pytest.approx(-log_p[:5].mean()) and few.replicates == {}


def test_a_likelihood_that_was_left_out_has_a_reason(tmp_path: Path) -> None:
    found = likelihood(tmp_path, "the loss is none")
    assert found.scores == found.validation == {"nll": None, "elbo_gap": None}
    assert found.reasons == dict.fromkeys(found.scores, "the loss is none")


def test_disentanglement_is_of_images_whose_factors_are_known() -> None:
    random = np.random.default_rng(0)
    factors = random.integers(0, 4, (200, 2))
    mean = (factors + random.normal(0, 0.02, factors.shape)).astype(np.float32)
    found = Evaluated()
    add_disentanglement(found, mean, factors)
    assert found.scores["mig"] > 0.9 and found.scores["dci"] > 0.9
    assert found.validation == found.reasons == {}
    without = Evaluated()
    add_disentanglement(without, mean, None)
    assert without.scores == {"mig": None, "dci": None} and without.reasons == {}


def test_disentanglement_that_cannot_be_told_has_a_reason() -> None:
    factors = np.tile(np.arange(4)[:, None] * [1, 0], (50, 1))
    found = Evaluated()
    add_disentanglement(found, factors.astype(np.float32), factors)
    assert found.scores["mig"] == pytest.approx(1) and found.scores["dci"] is None
    assert "one factor" in found.reasons["dci"]
    few = Evaluated()
    add_disentanglement(few, factors[:9].astype(np.float32), factors[:9])
    assert set(few.reasons) == {"mig", "dci"} and "9 images" in few.reasons["mig"]
