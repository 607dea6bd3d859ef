"""How `configure` names the layer that overrides others."""

from __future__ import annotations

import pytest

from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import layer_and_key, resolve, resolve_file
from sharpvae.core.config import flatten
from stages.configure import show
from tests.processes import REPOSITORY


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


def test_at_40_columns_every_key_stays_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Folded, for cut ones would read alike."""
    monkeypatch.setenv("COLUMNS", "40")
    resolved = resolve_file(REPOSITORY / "params.yaml")
    show(resolved)
    lines = capsys.readouterr().out.splitlines()
    first = "".join(line[1:].split("\u2502")[0].strip() for line in lines if line[0] == "\u2502")
    experiment = resolved.experiment.model_dump(exclude={"order", "tune"})
    variants = experiment.pop("variants")
    for key in (*flatten(experiment), *flatten(variants["improved"])):
        assert key in first


def test_names_in_the_table_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    params = read_settings(REPOSITORY / "params.yaml")
    params["data"] |= {"path": "/a[bold]/\x1b[31m", "classes": ["[/x]"]}
    show(resolve(params, Studies(REPOSITORY / "studies")))
    said = capsys.readouterr().out
    assert r"/a[bold]/\x1b[31m" in said and '["[/x]"]' in said
