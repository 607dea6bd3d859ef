"""A network of the user's own in params.yaml: what counts for it, and what `configure` refuses."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from sharpvae.config.experiment import stage_files
from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import Resolved, resolve
from sharpvae.config.rules import check
from sharpvae.core.errors import UserError, UserErrors
from sharpvae.training.config import TrainStage
from sharpvae.vae.config import ModelConfig
from sharpvae.vae.reference import digest
from tests.datasets.samples import REPOSITORY
from tests.networks import NETWORK, written

PARAMS = read_settings(REPOSITORY / "params.yaml")
STUDIES = Studies(REPOSITORY / "studies")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    written(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def resolved(shared: dict[str, Any] | None = None, **model: Any) -> Resolved:
    """The project's params.yaml with a variant `mine` of this model, and `shared` in the shared."""
    params = copy.deepcopy(PARAMS)
    params["model"] |= shared or {}
    params["variants"]["mine"] = {"model": {"family": "networks/net.py:Net", **model}}
    return resolve(params, STUDIES)


def files(found: Resolved) -> dict[str, Any]:
    return {name: stage.model_dump() for name, stage in stage_files(found.experiment).items()}


def test_its_configuration_has_what_it_reads_and_the_digest_of_its_code() -> None:
    found = resolved(latent_dim=7, arguments={"width": 5, "more": {"a": [1, None]}})
    check(found)
    train = files(found)["mine/train.json"]
    assert train["model"] == {
        "family": "networks/net.py:Net", "latent_dim": 7, "width_scale": 0.125,
        "log_var_clamp": [-15.0, 15.0], "conditional": False,
        "arguments": {"width": 5, "more": {"a": [1, None]}},
    }  # fmt: skip
    assert train["code"] == digest("networks/net.py:Net")
    again = TrainStage.model_validate(train)
    assert again.model == found.experiment.variants["mine"].model and again.model.own


def test_a_changed_file_changes_one_variant_alone(place: Path) -> None:
    before = files(resolved())
    written(place, NETWORK + "# changed\n")
    after = files(resolved())
    assert {name for name in before if before[name] != after[name]} == {"mine/train.json"}


def test_what_only_our_families_read_is_no_part_of_it() -> None:
    before, after = files(resolved()), files(resolved({"kernel": 3, "norm": "group"}))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"improved/train.json", "sharp/train.json", "report.json"}
    assert before["report.json"]["variants"]["mine"] == after["report.json"]["variants"]["mine"]


def test_our_families_are_written_as_before_there_were_others() -> None:
    tree = files(resolved({"arguments": {"width": 5}}))
    assert "code" not in tree["improved/train.json"]
    model = tree["improved/train.json"]["model"]
    assert list(model) == [
        "family", "latent_dim", "widths", "width_scale", "kernel", "activation", "negative_slope",
        "norm", "dropout", "blocks", "ends", "upsampling", "head", "init", "log_var_clamp",
        "conditional",
    ]  # fmt: skip
    assert ModelConfig.model_validate(model).model_dump() == model
    assert tree["mine/train.json"]["model"]["arguments"] == {"width": 5}, "which all may share"


def test_any_size_will_do_and_half_a_batch_may_be_too_little() -> None:
    params = copy.deepcopy(PARAMS)
    params["data"]["image_size"] = 30
    own = {"family": "networks/net.py:Net"}
    params["variants"] = {"mine": {"model": own, "train": {"batch_size": 8, "accumulate": 4}}}
    check(resolve(params, STUDIES))
    params["variants"]["mine"]["train"]["accumulate"] = 8
    with pytest.raises(UserErrors, match=r"train\.accumulate"):
        check(resolve(params, STUDIES))


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ({"family": "nets/net.py:Net"}, ["variants.mine.model.family", "no file nets/net.py"]),
        ({"family": "nowhere.net:Net"}, ["variants.mine.model.family", "no module nowhere.net"]),
        ({"family": "net.py:"}, ["variants.mine.model.family", "package.module:Class"]),
        ({"family": "resnet"}, ["'conv', 'mlp', package.module:Class", "'resnet'"]),
        ({"family": 3}, ["variants.mine.model.family", "text"]),
        ({"widths": [8]}, ["variants.mine.model.widths", "does not read it", "model.arguments"]),
        ({"upsampling": "nearest"}, ["variants.mine.model.upsampling", "networks/net.py:Net"]),
        ({"arguments": 3}, ["variants.mine.model.arguments", "a mapping", "3 (int)"]),
        ({"arguments": {"latent_dim": 3}}, ["variants.mine.model.arguments", "latent_dim"]),
        ({"arguments": {"two words": 3}}, ["variants.mine.model.arguments", "two words"]),
        ({"arguments": {"width": float("nan")}}, ["arguments", "numbers, text"]),
        ({"family": "conv", "arguments": {"width": 3}},
         ["variants.mine.model.arguments", "model.family: conv, which does not read it"]),
    ],
    ids=str,
)  # fmt: skip
def test_a_mistake_names_its_key(model: dict[str, Any], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        check(resolved(**model))
    for part in parts:
        assert part in str(caught.value), caught.value


def test_code_that_is_no_python_is_told_by_configure(place: Path) -> None:
    written(place, "def")
    with pytest.raises(UserErrors, match=r"(?s)variants\.mine\.model\.family.*net\.py, line 1"):
        check(resolved())
