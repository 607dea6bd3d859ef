"""Experiments made in Python: what is changed, what stays, and that rules hold there, too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from sharpvae.config.resolve import resolve_file
from sharpvae.config.settings import configured, shipped
from sharpvae.core.errors import UserErrors
from tests.imports import REPOSITORY

OURS = resolve_file(REPOSITORY / "params.yaml").experiment


def test_without_changes_it_is_params_yaml() -> None:
    assert shipped() == REPOSITORY
    assert configured({}) == OURS


def test_only_what_is_named_changes() -> None:
    changes = {
        "device": "cpu",
        "loss": {"weights": {"l1": 7.0}},
        "variants": {"mine": {"model": {"latent_dim": 3}}},
    }
    made = configured(changes)
    assert made.device == "cpu" and list(made.variants) == [*OURS.variants, "mine"]
    assert made.variants["mine"].model.latent_dim == 3
    before, after = OURS.variants["improved"], made.variants["improved"]
    weights = before.loss.weights.model_copy(update={"l1": 7.0})
    assert after == before.model_copy(
        update={"loss": before.loss.model_copy(update={"weights": weights})}
    )


def test_mistakes_and_broken_rules_are_found() -> None:
    with pytest.raises(UserErrors, match=r"loss\.betta"):
        configured({"loss": {"betta": 1.0}})
    with pytest.raises(UserErrors, match=r"data\.image_size|model\.widths"):
        configured({"data": {"image_size": 50}})


def test_settings_of_a_folder(tmp_path: Path) -> None:
    for name in ("presets", "studies"):
        shutil.copytree(REPOSITORY / name, tmp_path / name)
    text = (REPOSITORY / "params.yaml").read_text().replace("seeds: [0]", "seeds: [8]")
    (tmp_path / "params.yaml").write_text(text)
    assert configured({}, tmp_path).seeds == [8]
