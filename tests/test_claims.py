"""The files of claims/: each can be run and judged, and asks for the weights that it needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sharpvae.config.experiment import Experiment
from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import resolve
from sharpvae.config.rules import check_shapes
from sharpvae.perception.pretrained import LPIPS_TRUNKS, PRETRAINED, location
from sharpvae.proof.claims import (
    FEWEST_SEEDS,
    Claim,
    load_claim,
    require_arms,
    require_one_meaning,
    shared_params,
)
from tests.imports import REPOSITORY

DOCUMENTS = ("000", "001", "002", "003", "004")
FILES = sorted((REPOSITORY / "claims").glob("*.yaml"))
PARAMS = read_settings(REPOSITORY / "params.yaml")
STUDIES = Studies(REPOSITORY / "studies")
each = pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)


def resolved_arms(claim: Claim) -> Experiment:
    trial = {**PARAMS, **shared_params(claim, PARAMS), "variants": claim.arms}
    found = resolve(trial, STUDIES)
    check_shapes(found)
    return found.experiment


@each
def test_a_claim_is_of_a_document_and_says_all(file: Path) -> None:
    claim = load_claim(file)
    assert claim.document in DOCUMENTS
    assert re.fullmatch(rf"{claim.document}(-[a-z0-9]+)+", file.stem)
    assert claim.claim[0] in '"0123456789' or claim.claim[0].isupper()
    assert claim.claim.endswith(".") and (claim.note == "" or claim.note.endswith("."))
    assert len(claim.seeds) >= FEWEST_SEEDS


@each
def test_every_arm_can_be_trained_where_the_weights_are(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    claim = load_claim(file)
    for name in claim.needs:
        path = location(name, None)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    require_arms(file.stem, claim, PARAMS, STUDIES)
    resolved_arms(claim)


@each
def test_every_arm_is_compared_and_ratios_are_of_positive_scores(file: Path) -> None:
    claim = load_claim(file)
    assert {arm for one in claim.expectations for arm in one.arms} == set(claim.arms)
    assert all(len(arm) <= 40 for arm in claim.arms)
    for one in claim.expectations:
        positive = all(re.match(r"(fid|seconds|kl$)", score) for score in one.scores)
        assert positive or one.kind == "difference"


@each
def test_no_more_weights_are_needed_than_losses_use(file: Path) -> None:
    claim = load_claim(file)
    used: set[str] = set()
    for variant in resolved_arms(claim).variants.values():
        weights = variant.loss.weights
        if weights.perceptual > 0:
            used |= {variant.loss.perceptual.network} & set(PRETRAINED)
        if weights.lpips > 0:
            used.add(LPIPS_TRUNKS[variant.loss.lpips.network])
    assert used == set(claim.needs)


def test_an_arm_means_the_same_in_all_files_and_no_other_arm_does() -> None:
    claims = {file.stem: load_claim(file) for file in FILES}
    require_one_meaning(claims)
    arms = {name: (arm, c.params) for c in claims.values() for name, arm in c.arms.items()}
    meanings = list(arms.values())
    assert all(meanings.count(meaning) == 1 for meaning in meanings)


def test_every_document_has_claims_and_every_study_of_one_is_put_to_the_test() -> None:
    claims = [load_claim(file) for file in FILES]
    assert {claim.document for claim in claims} == set(DOCUMENTS)
    named = {arm.get("study") for claim in claims for arm in claim.arms.values()}
    assert {name for name in STUDIES if re.match(r"s\d{3}-", name)} <= named
