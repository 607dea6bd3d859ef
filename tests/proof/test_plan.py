"""Factors, arms and the design: against their definitions, and mistakes told before training."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from sharpvae.config.names import Studies, read_settings
from sharpvae.core.config import flatten
from sharpvae.core.errors import UserError
from sharpvae.proof.plan import (
    MOST_FACTORS,
    Ablation,
    Plan,
    aliases,
    fraction,
    load_ablation,
    make_plan,
)
from tests.imports import REPOSITORY
from tests.networks import written

FACTORS = {"network": ["model"], "loss": ["loss"], "training": ["train"], "prior": ["sample"]}


def ablation(**changes: Any) -> Ablation:
    given = {
        "title": "a trial", "from": "original", "to": "sharp", "seeds": [0, 1, 2],
        "match": "updates", "settings": {"train.updates": 26}, "factors": FACTORS,
    }  # fmt: skip
    return Ablation.model_validate(given | changes)


def plan(**changes: Any) -> Plan:
    params = read_settings(REPOSITORY / "params.yaml")
    return make_plan("trial", ablation(**changes), params, Studies(REPOSITORY / "studies"))


def settings(made: Plan, arm: str) -> dict[str, Any]:
    return flatten(made.variants[arm])


@pytest.mark.parametrize("count", range(1, MOST_FACTORS + 1))
def test_main_effects_are_clear_of_each_other_and_of_every_pair(count: int) -> None:
    signs = np.where(fraction(count), 1, -1)
    assert len(signs) == 2 ** (1 + int(np.ceil(np.log2(count))))
    assert (signs.sum(axis=0) == 0).all()  # each factor is on in half of the runs
    assert (signs.T @ signs == len(signs) * np.eye(count)).all()
    for one, other in itertools.combinations(range(count), 2):
        pair = signs[:, one] * signs[:, other]
        assert not (signs.T @ pair).any()


@pytest.mark.parametrize("count", range(1, MOST_FACTORS + 1))
def test_the_opposite_of_every_run_is_a_run_and_both_ends_are(count: int) -> None:
    runs = {tuple(row) for row in fraction(count).tolist()}
    assert {tuple(not used for used in row) for row in runs} == runs
    assert (True,) * count in runs
    assert (False,) * count in runs


@pytest.mark.parametrize("count", [2, 3, 4, 8, 10])
def test_aliases_share_one_column_and_name_every_pair_once(count: int) -> None:
    runs = fraction(count)
    signs = np.where(runs, 1, -1)
    named = []
    for pairs, column in aliases(runs):
        named += pairs
        for one, other in pairs:
            assert (signs[:, one] * signs[:, other] == column).all()
    assert sorted(named) == list(itertools.combinations(range(count), 2))


def test_the_ends_are_the_two_variants_and_an_arm_switches_its_factors_alone() -> None:
    made = plan()
    start, end = settings(made, "original"), settings(made, "sharp")
    assert start["train.updates"] == end["train.updates"] == 26
    assert start["model.latent_dim"] == 200 and end["model.latent_dim"] == 128
    for name, arm in made.arms.items():
        for key, value in settings(made, name).items():
            section = key.partition(".")[0]
            switched = any(section in FACTORS[factor] for factor in arm.on)
            assert value == (end if switched else start)[key], f"{name} {key}"


def test_a_network_of_the_user_s_own_is_switched_as_one_with_what_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its keys are others than those of our families, and neither is told those of the other."""
    monkeypatch.chdir(tmp_path)
    own = {"family": written(tmp_path), "arguments": {"width": 5}}
    params = read_settings(REPOSITORY / "params.yaml")
    params["variants"]["mine"] = {"model": own, "loss": {"beta": 3.0}}
    factors = {"network": ["model"], "beta": ["loss.beta"]}
    trial = ablation(**{"from": "improved", "to": "mine", "factors": factors})
    made = make_plan("trial", trial, params, Studies(REPOSITORY / "studies"))
    found = {name: made.variants[name]["model"] for name in made.arms}
    assert found["plus-network"] == found["mine"] and found["minus-network"] == found["improved"]
    assert found["mine"]["arguments"] == {"width": 5} and "kernel" not in found["mine"]
    assert "arguments" not in found["improved"] and found["improved"]["kernel"] == 4
    assert made.factors["network"]["model.kernel"] == (4, None)


def test_every_factor_is_added_to_the_first_and_taken_from_the_second() -> None:
    made = plan()
    everything = frozenset(FACTORS)
    on = {name: arm.on for name, arm in made.arms.items()}
    assert on["plus-loss"] == {"loss"}
    assert on["minus-loss"] == everything - {"loss"}
    assert len(set(on.values())) == len(on)  # arms that coincide are one
    assert next(iter(on)) == "original" and "sharp" in on
    assert made.with_factors(everything).name == "sharp"
    assert set(made.mixed) <= set(on) and len(made.mixed) == 8


def test_one_factor_has_two_arms() -> None:
    made = plan(factors={"all": ["model", "loss", "train", "sample"]})
    assert list(made.arms) == made.mixed == ["original", "sharp"]


def test_the_shipped_ablation_covers_every_difference() -> None:
    params = read_settings(REPOSITORY / "params.yaml")
    for path in sorted((REPOSITORY / "ablations").glob("*.yaml")):
        made = make_plan(path.stem, load_ablation(path), params, Studies(REPOSITORY / "studies"))
        assert len(made.arms) == 52 and len(made.mixed) == 32
        names = {arm for arm in made.arms if arm.startswith("mix-")}
        assert all(set(name.removeprefix("mix-")) <= {"0", "1"} for name in names)


@pytest.mark.parametrize(
    ("changes", "where", "told"),
    [
        ({"from": "orignal"}, "from", "did you mean 'original'"),
        ({"factors": {**FACTORS, "more": ["model.latent_dim"]}}, "factors", "network and more"),
        ({"factors": {"loss": ["loss"]}}, "factors", "model.latent_dim, 200 in original"),
        ({"factors": {**FACTORS, "idle": ["model.norm"]}}, "factors.idle", "none among model.norm"),
        ({"factors": {**FACTORS, "data": ["data.image_size"]}}, "factors.data", "params.yaml"),
        ({"factors": {**FACTORS, "typo": ["model.latent"]}}, "factors.typo", "'model.latent'"),
        ({"settings": {"train.upates": 5}}, "settings.train.upates", "train.updates"),
        ({"settings": {"train.lr": -1.0}}, "lr", "-1.0"),
        ({"settings": {"train.epochs": 2}, "match": "multiply_adds"}, "match", "set train.updates"),
        ({"settings": {"model.widths": [8] * 9}}, "widths", "512"),
    ],
)
def test_mistakes_are_told_with_the_file_and_the_key(
    changes: dict[str, Any], where: str, told: str
) -> None:
    with pytest.raises(UserError) as caught:
        plan(**changes)
    assert "ablations/trial.yaml" in str(caught.value)
    assert where in str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": [0, 0]}, "different integers"),
        ({"seeds": []}, "seeds"),
        ({"factor": {}}, "did you mean 'factors'"),
        ({"factors": {"a b": ["model"]}}, "rename the factor"),
        ({"factors": {}}, "factors"),
        ({"match": "seconds"}, "match"),
        ({"title": None}, "title"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    path = tmp_path / "trial.yaml"
    content = ablation().model_dump(by_alias=True) | changes
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump(content, file)
    with pytest.raises(UserError, match=told):
        load_ablation(path)


def test_images_made_elsewhere_are_no_end_of_an_ablation() -> None:
    params = read_settings(REPOSITORY / "params.yaml")
    params["variants"]["theirs"] = {"samples": "theirs.npy"}
    with pytest.raises(UserError) as caught:
        make_plan("trial", ablation(to="theirs"), params, Studies(REPOSITORY / "studies"))
    for part in ("ablations/trial.yaml: to", "theirs, which is images made", "original, improved"):
        assert part in str(caught.value)
