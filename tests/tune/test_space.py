"""What can be searched, and how a choice is written down so that DVC reads the same."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from dvc.utils.hydra import apply_overrides
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.config.names import Studies, read_params, read_settings
from sharpvae.config.resolve import resolve_file
from sharpvae.core.errors import UserError
from sharpvae.tune.space import apply, command, nested, read_space, rounded, text

REPOSITORY = Path(__file__).parents[2]
STUDIES = Studies(REPOSITORY / "studies")
VALUES = {"train.lr": 0.00123, "model.latent_dim": 48, "loss.schedules.beta.length": 0.25,
          "model.widths": [16, 32], "train.optimizer": "adam"}  # fmt: skip


def settings(**tune: Any) -> dict[str, Any]:
    params = read_settings(REPOSITORY / "params.yaml")
    return {**params, "tune": {**params["tune"], **tune}}


def test_the_project_s_own_search_can_be_run() -> None:
    space = read_space(settings(), STUDIES)
    resolved = space.resolved({"train.lr": 0.005, "model.latent_dim": 16})
    assert list(resolved.experiment.variants) == ["improved"]
    found = resolved.experiment.variants["improved"]
    assert found.train.lr == 0.005 and found.model.latent_dim == 16


@pytest.mark.parametrize(
    ("tune", "parts"),
    [
        ({"variant": "imprved"}, ["tune.variant", "improved"]),
        ({"objectives": ["fidd"]}, ["tune.objectives", "fid"]),
        ({"objectives": ["fid", "fid"]}, ["tune.objectives", "different"]),
        ({"objectives": ["psnr"]}, ["tune.objectives", "scores of samples"]),
        ({"space": {"train.lrr": [1, 2]}}, ["tune.space.train.lrr", "train.lr"]),
        ({"space": {"data.image_size": [16, 32]}}, ["tune.space.data.image_size"]),
        ({"space": {"train.lr": {"low": -1.0, "high": 1.0}}}, ["tune.space.train.lr", "-1.0"]),
        ({"space": {"model.norm": ["batch", "bach"]}}, ["tune.space.model.norm", "bach"]),
        ({"space": {"train.lr": {"low": 2.0, "high": 1.0}}}, ["low below high"]),
        ({"space": {"train.lr": {"low": 0.0, "high": 1.0, "log": True}}}, ["above 0, for log"]),
        ({"space": {}}, ["tune.space"]),
        ({"sampler": "grid"}, ["tune.sampler", "random"]),
    ],
)  # fmt: skip
def test_a_mistake_names_its_key(tune: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_space(settings(**tune), STUDIES)
    for part in parts:
        assert part in str(caught.value)


def test_the_line_for_dvc_means_what_was_tried(tmp_path: Path) -> None:
    for folder in ("presets", "studies", "networks"):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    params = read_params(REPOSITORY / "params.yaml")
    line = command(params, "improved", VALUES)
    overrides = [word for word in line.split("'") if word.lstrip("+").startswith("variants.")]
    assert line.startswith("dvc exp run -S ") and len(overrides) == len(VALUES)
    path = tmp_path / "params.yaml"
    path.write_text((REPOSITORY / "params.yaml").read_text())
    apply_overrides(path, overrides)
    ran = resolve_file(path).experiment.variants["improved"]
    tried = read_space(settings(), STUDIES).resolved(VALUES).experiment.variants["improved"]
    assert ran == tried


def test_what_is_applied_keeps_comments_and_means_what_was_tried(tmp_path: Path) -> None:
    for folder in ("presets", "studies", "networks"):
        (tmp_path / folder).symlink_to(REPOSITORY / folder)
    path, before = tmp_path / "params.yaml", (REPOSITORY / "params.yaml").read_text()
    path.write_text(before)
    apply(path, "improved", VALUES)
    ran = resolve_file(path).experiment
    tried = read_space(settings(), STUDIES).resolved(VALUES).experiment.variants["improved"]
    assert ran.variants["improved"] == tried
    assert (
        ran.variants["sharp"]
        == resolve_file(REPOSITORY / "params.yaml").experiment.variants["sharp"]
    )
    comments = [line.partition("#")[2] for line in before.splitlines()]
    assert [line.partition("#")[2] for line in path.read_text().splitlines() if "#" in line] == [
        comment for comment in comments if comment
    ]


@given(st.floats(1e-9, 1e9))
def test_a_rounded_number_is_near_and_short(value: float) -> None:
    found = rounded(value)
    assert found == pytest.approx(value, rel=0.006)
    assert float(text(found)) == found and rounded(found) == found


def test_nesting_changes_nothing_that_was_given() -> None:
    sections = {"loss": {"weights": {"l1": 1.0}}, "train": {"updates": 5}}
    before = copy.deepcopy(sections)
    found = nested(sections, {"loss.weights.mse": 2.0, "train.epochs": 3})
    assert sections == before
    assert found["loss"]["weights"] == {"l1": 1.0, "mse": 2.0}
    assert found["train"] == {"updates": None, "epochs": 3}
