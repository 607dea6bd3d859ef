"""How `configure` names the layer that overrides others."""

from __future__ import annotations

import pytest

from sharpvae.config.resolve import layer_and_key


@pytest.mark.parametrize(
    ("dotted", "layer", "key"),
    [
        ("loss.beta", "an explicit key", "loss.beta"),
        ("variants.improved.loss.beta", "variants.improved", "loss.beta"),
        ("presets.toy.train.epochs", "presets.toy", "train.epochs"),
        ("section_presets.loss.mse_l1.weights.l1", "section_presets.loss.mse_l1",
         "loss.weights.l1"),
        ("studies/s000-original.yaml: loss.weights.l1", "studies/s000-original.yaml",
         "loss.weights.l1"),
    ],
)  # fmt: skip
def test_a_layer_is_told_apart_from_its_keys(dotted: str, layer: str, key: str) -> None:
    assert layer_and_key(dotted) == (layer, key)
