"""defaults < preset < shared < study < variant, null inherits, and no mistake passes."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharpvae.config import resolve as resolving
from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import Resolved, Shadow
from sharpvae.config.rules import check
from sharpvae.core.config import flatten
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.perception.pretrained import PRETRAINED, cache

REPOSITORY = Path(__file__).parents[2]
PARAMS = read_settings(REPOSITORY / "params.yaml")
STUDIES = Studies(REPOSITORY / "studies")


def resolve(params: dict[str, Any], studies: Mapping[str, Any] = STUDIES) -> Resolved:
    """As `resolve_file` does, with the project's studies."""
    return resolving.resolve(params, studies)


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


@pytest.fixture
def alexnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file where AlexNet's weights belong, which ultra_high_quality needs for its LPIPS."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache().mkdir(parents=True)
    (cache() / PRETRAINED["alexnet"].file).touch()


@pytest.mark.usefixtures("alexnet")
def test_the_params_file_resolves_under_every_preset() -> None:
    for preset in PARAMS["presets"]:
        check(resolve(changed("preset", preset)))


weights = st.floats(0, 100)


@given(weights, weights, weights, weights)
def test_the_highest_layer_that_is_not_null_decides(a: float, b: float, c: float, d: float) -> None:
    layers = {
        "section_presets.loss.mse_only.beta": a,
        "presets.laptop.loss.beta": b,
        "loss.beta": c,
        "variants.improved.loss.beta": d,
    }
    params = changed("presets.laptop.loss", {"preset": "mse_only"})
    assert resolve(params).sources["variants.improved.loss.beta"] == "defaults.loss.beta"
    for key, value in layers.items():
        put(params, key, value)
        resolved = resolve(params)
        assert resolved.experiment.variants["improved"].loss.beta == value
        assert resolved.sources["variants.improved.loss.beta"] == key


def test_a_presets_word_on_one_variant_is_below_every_explicit_key() -> None:
    params = changed("preset", "paper")
    variants = resolve(params).experiment.variants
    budgets = [(v.train.epochs, v.train.updates) for v in variants.values()]
    assert budgets == [(50, None), (None, 20000), (None, 20000)]
    put(params, "train.epochs", 7)
    assert {v.train.epochs for v in resolve(params).experiment.variants.values()} == {7}


def test_of_epochs_and_updates_the_higher_layer_decides_and_silences_the_other() -> None:
    params = changed("train.epochs", 3)
    resolved = resolve(params)
    assert {v.train.updates for v in resolved.experiment.variants.values()} == {None}
    assert Shadow("train.epochs", "presets.laptop.train.updates") in resolved.shadowed
    put(params, "variants.improved.train.updates", 500)
    original, improved, _ = resolve(params).experiment.variants.values()
    assert (original.train.epochs, original.train.updates) == (3, None)
    assert (improved.train.epochs, improved.train.updates) == (None, 500)
    shadowed = resolve(params).shadowed
    assert Shadow("variants.improved.train.updates", "train.epochs") in shadowed


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
    winners = {(s.winner, s.loser) for s in resolve(changed("loss.beta", 2.0)).shadowed}
    assert ("studies/s000-original.yaml: loss.beta", "loss.beta") in winners
    assert not any(loser.startswith("defaults") for _, loser in winners)


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
        ("sample.likelihood.samples", -1, ["sample.likelihood.samples", ">= 0", "-1"]),
        ("data.binarize", "dynamic", ["data.binarize", "'static'", "'dynamic'"]),
        ("loss.beta", "high", ["loss.beta", "a number", "'high' (str)"]),
        ("loss.beta", -1, ["loss.beta", ">= 0", "-1"]),
        ("loss.beta", float("nan"), ["loss.beta", "finite", "nan"]),
        ("train.epochs", 2.5, ["train.epochs", "an integer", "2.5"]),
        ("train.epochs", True, ["train.epochs", "an integer", "True"]),
        ("train.flip", "yes", ["train.flip", "true or false", "'yes'"]),
        ("train.scheduler", "platau", ["train.scheduler", "did you mean 'plateau'"]),
        ("train.epochs", {"n": 1}, ["train.epochs", "an integer"]),
        ("model.latent_dim", 0, ["model.latent_dim", ">= 1"]),
        ("model.latent_dim", 10**20, ["model.latent_dim", "<= 1000000"]),
        ("model.widths", [10**400], ["model.widths[0]", "<= 1000000"]),
        ("model.widths", [1] * 20_000, ["model.widths", "at most 100 entries", "1, 1..."]),
        ("model.width_scale", 1e308, ["model", "widths times width_scale", "1000000"]),
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
        ("defaults.model.latent_dim", None, ["improved.model.latent_dim", "null in the variant"]),
        ("defaults.modle", {}, ["defaults.modle", "did you mean 'model'"]),
        ("loss.preset", "hi_quality", ["loss.preset", "did you mean 'high_quality'"]),
        ("presets.laptop.train", {"preset": "fast_train"},
         ["presets.laptop.train.preset", "did you mean 'fast_training'"]),
        ("section_presets.loss.mse_l1.weights", {"mze": 1},
         ["section_presets.loss.mse_l1.weights.mze", "did you mean 'mse'"]),
        ("section_presets.model.small", {"data.image_sise": 64}, ["data.image_sise", "image_size"]),
        ("section_presets.sample", {}, ["section_presets.sample", "data, model, loss, train"]),
        ("section_presets", None, ["section_presets", "a mapping of data, model, loss, train"]),
        ("sample.preset", "small", ["sample.preset", "unknown key 'preset'"]),
        ("variants.original.study", "s000-orignal",
         ["variants.original.study", "studies/", "did you mean 's000-original'"]),
        ("variants.improved.model", {"preset": "medium"},
         ["variants.improved.model.preset", "data.image_size", "32", "made for 64"]),
        ("variants", {}, ["variants", "at least one variant"]),
        ("variants.a/b", {}, ["variants.a/b", "letters, digits"]),
        (f"variants.{'a' * 101}", {}, ["up to 100 letters"]),
        ("variants.critic", {}, ["variants.critic", "models/critic"]),
        ("variants.Reference", {}, ["variants.Reference", "models/reference"]),
        ("variants.improved", 3, ["variants.improved", "a mapping", "3"]),
        ("seeds", 3, ["seeds", "a list", "3"]),
        ("seeds", [], ["seeds", "at least 1"]),
        ("seeds", [1, 1], ["seeds", "different integers"]),
        ("seeds", [-1], ["seeds[0]", ">= 0"]),
        ("seeds", [0.5], ["seeds[0]", "an integer"]),
        ("threads", 0, ["threads", ">= 1"]),
        ("device", "gpu", ["device", "cuda", "'gpu'"]),
        ("data.subset", 0, ["data.subset", "a count of at least 1", "0"]),
        ("data.subset", 1.5, ["data.subset", "fraction in (0, 1]"]),
        ("data.test_fraction", 0.95, ["data", "below 1"]),
        ("variants.improved.loss", {"weights": {"adversarial": 1.0},
         "schedules": {"adversarial": {"start": 1.0}}},
         ["variants.improved.loss.schedules.adversarial.start", "below 1", "1 (fraction)"]),
        ("variants.improved.loss", {"schedules": {"beta": {"unit": "epochs", "start": 100.0}}},
         ["variants.improved.loss.schedules.beta.start", "below 100", "train.updates",
          "loss.beta"]),
        ("variants.improved.loss", {"schedules": {"beta": {"length": 5.0}}},
         ["variants.improved.loss.schedules.beta.length", "at most 1", "5", "unit: epochs"]),
        ("train", {"epochs": 3, "updates": 9}, ["both train.epochs and train.updates"]),
        ("presets.laptop.train.epochs", 3, ["presets.laptop.train.epochs", "updates"]),
        ("variants.improved.loss", {"schedules": {"beta": {"shape": "cyclic"}}},
         ["variants.improved.loss.schedules.beta", "length <= cycle"]),
        ("variants.improved.loss", {"weights": {"gaussian": 1.0}, "kl_share": 0.1},
         ["variants.improved.loss.kl_share", "gaussian", "negative"]),
        ("variants.improved.loss", {"beta": 0.0, "kl_share": 0.1},
         ["variants.improved.loss.kl_share", "loss.beta above 0"]),
        ("variants.improved.loss", {"weights": {"adversarial": 0.5}},
         ["defaults.train.early_stop_patience", "weights.adversarial", "0"]),
        ("variants.improved.loss", {"kl_share": 0.1},
         ["train.scheduler", "plateau", "kl_share", "cosine"]),
        ("loss.schedules.beta.shape", "cyclic", ["loss.schedules.beta\n", "cycle 0.0"]),
        ("preset", ["toy"], ["preset", "['toy']"]),
        ("model.preset", ["small"], ["model.preset", "['small']"]),
        ("model.preset", {"a": 1}, ["model.preset", "{'a': 1}"]),
        ("defaults.loss.preset", "mse_only", ["defaults.loss.preset", "unknown key"]),
        ("defaults.variants", {}, ["defaults.variants", "unknown key"]),
        ("presets.laptop.variants", {"improved": {"study": "best"}},
         ["presets.laptop.variants.improved.study", "unknown key"]),
        ("presets.laptop.variants", {"improved": {"model": {"preset": "high_res"}}},
         ["presets.laptop.variants.improved.model.preset", "made for 128"]),
        ("data.path", "~nosuchuser/x", ["data.path", "exists"]),
        ("loss.weights.adversarial", -0.5, ["loss.weights.adversarial", ">= 0", "-0.5"]),
        ("data.image_size", 30, ["data.image_size", "multiple of 16", "32"]),
        ("sample.count", 1, ["sample.count", ">= 2", "1"]),
        ("metrics.kid_subset_size", 1, ["metrics.kid_subset_size", ">= 2", "1"]),
        ("metrics.neighbours", 0, ["metrics.neighbours", ">= 1", "0"]),
        ("metrics.features", "judge", ["metrics.features", "panel", "inception"]),
        ("data.name", "folder", ["data.path", "null", "where your images are"]),
        ("data.path", "/no/such", ["data.path", "exists", "/no/such"]),
        ("metrics.weights", "/no/such.pth", ["metrics.weights", "exists"]),
        ("loss.perceptual.weights", "/no/such.pth", ["loss.perceptual.weights", "exists"]),
        ("metrics.features", "inceptoin", ["metrics.features", "did you mean 'inception'"]),
        ("loss.perceptual.network", "vgg16", ["loss.perceptual.weights", "vgg16", "critic"]),
        ("loss.perceptual.network", "judge", ["loss.perceptual.network", "network that scores"]),
        ("loss.perceptual.network", "lite0", ["loss.perceptual.network", "never the network"]),
        ("variants.improved.loss", {"perceptual": {"network": "lite1", "layers": [21]}},
         ["loss.perceptual.layers", "from 0 to 20", "21"]),
        ("variants.improved.loss", {"perceptual": {"network": "lite2", "weights": "README.md"}},
         ["loss.perceptual.weights", "null", "package"]),
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
    put(params, "variants.sharp.model.family", "mlp")
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


SECTION_PRESETS = [
    (section, name) for section, named in PARAMS["section_presets"].items() for name in named
]


@pytest.mark.parametrize(("section", "name"), SECTION_PRESETS)
def test_a_section_preset_takes_effect_by_its_one_key(section: str, name: str) -> None:
    """`-S loss.preset=high_quality` and the like, over any preset."""
    resolved = resolve(changed(f"{section}.preset", name))
    tree = resolved.experiment.model_dump() | resolved.experiment.variants["improved"].model_dump()
    for key, value in flatten(PARAMS["section_presets"][section][name]).items():
        where = key if "." in key and key.split(".")[0] in tree else f"{section}.{key}"
        assert flatten(tree)[where] == value


def test_an_explicit_key_wins_over_a_section_preset_and_says_so() -> None:
    params = changed("loss.preset", "mse_l1")
    put(params, "loss.weights.l1", 3.0)
    resolved = resolve(params)
    assert resolved.experiment.variants["improved"].loss.weights.l1 == 3.0
    assert resolved.experiment.variants["improved"].loss.weights.mse == 0.8
    winners = {(s.winner, s.loser) for s in resolved.shadowed}
    assert ("loss.weights.l1", "section_presets.loss.mse_l1.weights.l1") in winners


def test_a_model_preset_brings_its_image_size_unless_one_is_set() -> None:
    params = changed("model.preset", "ultra_high_quality")
    assert resolve(params).experiment.data.image_size == 256
    put(params, "data.image_size", 64)
    resolved = resolve(params)
    assert resolved.experiment.data.image_size == 64
    preset = "section_presets.model.ultra_high_quality.data.image_size"
    assert ("data.image_size", preset) in {(s.winner, s.loser) for s in resolved.shadowed}


def test_a_variants_model_preset_made_for_another_size_needs_the_size_set() -> None:
    params = changed("variants.improved.model", {"preset": "medium"})
    assert "made for 64" in message(params)
    put(params, "data.image_size", 32)
    check(resolve(params))
    put(params, "data.image_size", 64)
    check(resolve(params))


TEXT = {"title": "mine", "about": "A study.", "claims": ["It works."]}


def study(**sections: Any) -> Resolved:
    params = changed("variants", {"plain": {}, "mine": {"study": "mine"}})
    return resolve(params, {"mine": {**TEXT, **sections}})


def test_a_study_is_above_the_shared_sections_and_below_its_variant() -> None:
    variants = study(loss={"beta": 7.0}).experiment.variants
    assert (variants["plain"].loss.beta, variants["mine"].loss.beta) == (0.5, 7.0)
    params = changed("variants", {"mine": {"study": "mine", "loss": {"beta": 1.0}}})
    put(params, "loss.beta", 3.0)
    for beta in (1.0, 7.0):
        found = resolve(params, {"mine": {**TEXT, "loss": {"beta": 7.0}}})
        assert found.experiment.variants["mine"].loss.beta == beta
        put(params, "variants.mine.loss.beta", None)


def test_what_comes_before_is_the_variant_but_for_what_is_set_there() -> None:
    params = changed("variants.mine", {"study": "s004-high-quality", "train": {"lr": 0.25}})
    params["variants"]["mine"]["before"] = {"loss": {"preset": "mse_only", "beta": 3.0}}
    resolved = resolve(params)
    mine, before = resolved.experiment.variants["mine"], resolved.before("mine")
    assert mine.before is not None and mine.before.train == mine.train
    assert mine.before.loss.beta == 3.0 and mine.before.loss.weights.perceptual == 0.0
    assert mine.loss.beta == 0.3 and mine.loss.weights.perceptual == 0.5, "what follows"
    told = flatten(mine.model_dump()["before"])
    assert told.pop("loss.beta") == 3.0 and set(told) == {
        f"loss.weights.{term}" for term in ("mse", "l1", "perceptual")
    }, "only what differs"
    (name,) = before.experiment.variants
    config, sources = before.variant(name)
    assert config.loss == mine.before.loss and config.model == mine.model
    assert sources["loss.beta"] == "variants.mine.before.loss.beta"
    assert sources["train.lr"] == "variants.mine.train.lr"
    other = resolved.experiment.variants["improved"]
    assert "before" not in other.model_dump(), "and nothing of it in the settings of others"


def test_a_study_says_what_comes_before() -> None:
    study = {**STUDIES["s004-high-quality"], "before": {"train": {"lr": 0.5}}}
    params = changed("variants.mine", {"study": "s", "before": {"train": {"batch_size": 6}}})
    before = resolve(params, {**STUDIES, "s": study}).experiment.variants["mine"].before
    assert before is not None and before.train.lr == 0.5 and before.train.batch_size == 6


@pytest.mark.parametrize(
    ("before", "part"),
    [
        ({"loss": {"betta": 1}}, "variants.improved.before.loss.betta\n  expected: a key of"),
        ({"model": {"latent_dim": 3}}, "variants.improved.before.model"),
        ({"loss": {"beta": -1}}, "variants.improved.before.loss.beta"),
        ({"train": {"devices": 2}}, "one train.devices, before as after"),
        ({"train": {"accumulate": 5}}, "variants.improved.before.train.accumulate"),
        ({"loss": {"schedules": {"beta": {"start": 9.0}}}},
         "variants.improved.before.loss.schedules.beta.start"),
        ("blurred", "variants.improved.before\n  expected: a mapping of sections"),
    ],
)  # fmt: skip
def test_a_mistake_in_what_comes_before_is_told(before: Any, part: str) -> None:
    assert part in message(changed("variants.improved.before", before))


def test_what_a_study_says_under_a_preset_is_below_the_shared_sections() -> None:
    mine = {"presets": {"laptop": {"train": {"epochs": 3}}, "paper": {"train": {"epochs": 4}}}}
    assert study(**mine).experiment.variants["mine"].train.epochs == 3
    params = changed("variants", {"mine": {"study": "mine"}})
    put(params, "train.epochs", 9)
    assert resolve(params, {"mine": {**TEXT, **mine}}).experiment.variants["mine"].train.epochs == 9


@pytest.mark.parametrize(
    ("sections", "part"),
    [
        ({"los": {}}, "studies/mine.yaml: los"),
        ({"loss": {"betta": 1}}, "studies/mine.yaml: loss.betta"),
        ({"loss": {"beta": -1.0}}, "studies/mine.yaml: loss.beta"),
        ({"data": {}}, "studies/mine.yaml: data"),
        ({"presets": {"toy": {"train": {"epoks": 1}}}}, "mine.yaml: presets.toy.train.epoks"),
        ({"presets": {"labtop": {}}}, "mine.yaml: presets.labtop"),
        ({"presets": 3}, "mine.yaml: presets"),
        ({"presets": {"paper": None}}, "mine.yaml: presets.paper"),
        ({"model": {"preset": ["a"]}}, "mine.yaml: model.preset"),
        ({"claims": "one"}, "mine.yaml: claims"),
        ({"about": None}, "mine.yaml: about"),
        ({"presets": {"laptop": {"model": {"preset": "high_res"}}}}, "made for 128"),
    ],
)
def test_a_mistake_in_a_study_names_its_file(sections: dict[str, Any], part: str) -> None:
    with pytest.raises(UserError) as caught:
        check(study(**sections))
    assert part in str(caught.value)


@pytest.mark.usefixtures("alexnet")
@pytest.mark.parametrize("name", list(STUDIES))
def test_every_study_resolves_under_every_preset(name: str) -> None:
    for preset in PARAMS["presets"]:
        params = changed("preset", preset)
        put(params, "variants.one", {"study": name})
        check(resolve(params))
