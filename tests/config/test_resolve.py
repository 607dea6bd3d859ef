"""preset < shared < variant, null inherits, and no mistake passes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.config.resolve import resolve
from sharpvae.config.rules import check
from sharpvae.config.yaml_file import read_params
from sharpvae.errors import UserError, UserErrors

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")


def changed(dotted: str, value: Any) -> dict[str, Any]:
    """The project's params.yaml with one key set, as `-S dotted=value` would."""
    params = copy.deepcopy(PARAMS)
    put(params, dotted, value)
    return params


def put(params: dict[str, Any], dotted: str, value: Any) -> None:
    *path, last = dotted.split(".")
    for key in path:
        if params.get(key) is None:
            params[key] = {}
        params = params[key]
    params[last] = value


def message(params: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        check(resolve(params))
    return str(caught.value)


def test_the_params_file_resolves_under_every_preset() -> None:
    for preset in PARAMS["presets"]:
        check(resolve(changed("preset", preset)))


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 100))
def test_the_highest_layer_that_is_not_null_decides(a: float, b: float, c: float) -> None:
    layers = {"presets.laptop.loss.beta": a, "loss.beta": b, "variants.improved.loss.beta": c}
    params = changed("loss.beta", None)
    for key, value in layers.items():
        put(params, key, value)
        resolved = resolve(params)
        assert resolved.experiment.variants["improved"].loss.beta == value
        assert resolved.sources["variants.improved.loss.beta"] == key


def test_a_presets_word_on_one_variant_is_below_every_explicit_key() -> None:
    params = changed("preset", "paper")
    variants = resolve(params).experiment.variants
    assert (variants["original"].train.epochs, variants["improved"].train.epochs) == (50, 100)
    put(params, "train.epochs", 7)
    assert {v.train.epochs for v in resolve(params).experiment.variants.values()} == {7}


def test_a_shared_change_reaches_only_the_variants_that_inherit_it() -> None:
    before = resolve(PARAMS).experiment.variants
    after = resolve(changed("loss.beta", 1.77)).experiment.variants
    assert after["original"] == before["original"]
    assert after["improved"].loss.beta == 1.77


@pytest.mark.parametrize("empty", [None, {}, {"loss": None}, {"loss": {"weights": {}}}])
def test_an_empty_variant_is_the_shared_recipe(empty: Any) -> None:
    variants = resolve(changed("variants.plain", empty)).experiment.variants
    assert variants["plain"] == variants["improved"]


def test_what_has_no_effect_is_told() -> None:
    winners = {(s.winner, s.loser) for s in resolve(PARAMS).shadowed}
    assert ("variants.original.loss.beta", "loss.beta") in winners


def test_seed_zero_is_a_seed() -> None:
    assert resolve(changed("seeds", [0])).experiment.seeds == [0]


@pytest.mark.parametrize(
    ("key", "value", "parts"),
    [
        ("los", {}, ["los", "did you mean 'loss'"]),
        ("loss.betta", 1, ["loss.betta", "did you mean 'beta'"]),
        ("loss.weights.mze", 1, ["loss.weights.mze", "did you mean 'mse'", "perceptual"]),
        ("variants.improved.train.epoch", 1, ["variants.improved.train.epoch", "'epochs'"]),
        ("variants.improved.trian", {}, ["variants.improved.trian", "did you mean 'train'"]),
        ("variants.improved.data", {}, ["variants.improved.data", "could not be compared"]),
        ("presets.paper.model.width", 1, ["presets.paper.model.width", "width"]),
        ("presets.toy.variants.improved.los", {}, ["presets.toy.variants.improved.los", "'loss'"]),
        ("preset", "papper", ["preset", "'papper'", "did you mean 'paper'"]),
        ("loss.beta", "high", ["loss.beta", "a number", "'high' (str)"]),
        ("loss.beta", -1, ["loss.beta", ">= 0", "-1"]),
        ("loss.beta", float("nan"), ["loss.beta", "finite", "nan"]),
        ("train.epochs", 2.5, ["train.epochs", "an integer", "2.5"]),
        ("train.epochs", True, ["train.epochs", "an integer", "True"]),
        ("train.flip", "yes", ["train.flip", "true or false", "'yes'"]),
        ("train.scheduler", "platau", ["train.scheduler", "did you mean 'plateau'"]),
        ("train.epochs", {"n": 1}, ["train.epochs", "an integer"]),
        ("model.latent_dim", 0, ["model.latent_dim", ">= 1"]),
        ("variants.improved.model.widths", [8, 0], ["variants.improved.model.widths[1]", ">= 1"]),
        ("variants.improved.model.widths", [], ["variants.improved.model.widths", "at least 1"]),
        ("variants.improved.model.widths", 64, ["variants.improved.model.widths", "a list", "64"]),
        ("model.log_var_clamp", [2.0, 2.0], ["model.log_var_clamp", "lowest", "[2.0, 2.0]"]),
        ("model.log_var_clamp", [1.0], ["model.log_var_clamp", "two numbers", "[1.0]"]),
        ("model.log_var_clamp", 15.0, ["model.log_var_clamp", "a list", "15.0"]),
        ("model.log_var_clamp", [0, float("inf")], ["model.log_var_clamp[1]", "finite"]),
        ("model.dropout", 1.0, ["model.dropout", "< 1", "1.0"]),
        ("model.dropout", 0.1, ["model.dropout", "mlp", "0.1", "model.family: conv"]),
        ("model.family", "mpl", ["model.family", "did you mean 'mlp'"]),
        ("model.latent_dim", None, ["improved.model.latent_dim", "null in the variant"]),
        ("variants", {}, ["variants", "at least one variant"]),
        ("variants.a/b", {}, ["variants.a/b", "letters, digits"]),
        ("variants.improved", 3, ["variants.improved", "a mapping", "3"]),
        ("seeds", 3, ["seeds", "a list", "3"]),
        ("seeds", [], ["seeds", "at least 1"]),
        ("seeds", [1, 1], ["seeds", "different integers"]),
        ("seeds", [-1], ["seeds[0]", ">= 0"]),
        ("seeds", [0.5], ["seeds[0]", "an integer"]),
        ("device", "gpu", ["device", "cuda", "'gpu'"]),
        ("data.subset", 0, ["data.subset", "a count of at least 1", "0"]),
        ("data.subset", 1.5, ["data.subset", "fraction in (0, 1]"]),
        ("data.test_fraction", 0.95, ["data", "below 1"]),
        ("data.image_size", 30, ["data.image_size", "multiple of 16", "32"]),
        ("sample.count", 10, ["sample.count", "at least 500", "metrics.kid_subset_size"]),
        ("data.name", "folder", ["data.path", "null", "where your images are"]),
        ("data.path", "/no/such", ["data.path", "exists", "/no/such"]),
        ("metrics.weights", "/no/such.pth", ["metrics.weights", "exists"]),
        ("loss.perceptual.weights", "/no/such.pth", ["loss.perceptual.weights", "exists"]),
        ("metrics.features", "inceptoin", ["metrics.features", "did you mean 'inception'"]),
        ("loss.perceptual.network", "vgg16", ["loss.perceptual.weights", "vgg16", "critic"]),
        ("loss.perceptual.network", "judge", ["loss.perceptual.network", "network that scores"]),
        ("loss.perceptual.network", "inception", ["loss.perceptual.network", "never the network"]),
        ("loss.perceptual.network", "vgg11", ["loss.perceptual.network", "did you mean 'vgg1"]),
        ("loss.lpips.weights", "/no/such.pth", ["loss.lpips.weights", "exists"]),
        ("critic.seed", 1000, ["judge.seed", "critic.seed", "another seed"]),
        ("variants.improved.loss.weights", {"mse": 0.0, "l1": 0.0, "perceptual": 0.0, "lpips": 0.0},
         ["variants.improved.loss", "above 0"]),
        ("loss", 3, ["loss", "a section of keys", "3"]),
        ("presets", None, ["presets", "a mapping of presets"]),
    ],
)  # fmt: skip
def test_a_mistake_names_key_expectation_and_finding(
    key: str, value: Any, parts: list[str]
) -> None:
    text = message(changed(key, value))
    for part in [*parts, "expected:", "found:"]:
        assert part in text, text


def test_an_mlp_drops_units_and_takes_any_size() -> None:
    params = changed("variants.improved.model", {"family": "mlp", "dropout": 0.1})
    put(params, "variants.original.model.family", "mlp")
    put(params, "data.image_size", 30)
    check(resolve(params))


def test_all_mistakes_are_told_at_once() -> None:
    params = changed("loss.betta", 1)
    params["train"]["epoks"] = 1
    with pytest.raises(UserErrors) as caught:
        resolve(params)
    assert {error.where for error in caught.value.errors} == {"loss.betta", "train.epoks"}


def test_an_error_in_a_preset_names_the_preset() -> None:
    assert "presets.laptop.train.epochs" in message(changed("presets.laptop.train.epochs", 0))
