"""Which networks a loss may use, on which images, and with which files: told by `configure`."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision import models

from sharpvae.config.loss_networks import LENGTH, LPIPS_SMALLEST, POOLS
from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import resolve
from sharpvae.config.rules import check
from sharpvae.core.errors import UserErrors
from sharpvae.perception.distances import LAYERS
from sharpvae.perception.pretrained import LPIPS_TRUNKS, PRETRAINED, cache

REPOSITORY = Path(__file__).parents[2]
PARAMS = read_settings(REPOSITORY / "params.yaml")
del PARAMS["variants"]["sharp"]  # two are enough; what presets say of it is then said of nobody
STUDIES = Studies(REPOSITORY / "studies")


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No weights are at hand, whoever runs the tests."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))


def at_hand(*names: str) -> None:
    cache().mkdir(parents=True, exist_ok=True)
    for name in names:
        (cache() / PRETRAINED[name].file).touch()


def told(**changes: Any) -> dict[str, str]:
    """key -> message of every error; the changed keys are dotted with double underscores."""
    params = copy.deepcopy(PARAMS)
    for dotted, value in changes.items():
        *sections, last = dotted.split("__")
        section = params
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    try:
        check(resolve(params, STUDIES))
    except UserErrors as caught:
        return {error.where: str(error) for error in caught.errors}
    return {}


VGG = {"loss__perceptual__network": "vgg16"}
LPIPS = {"variants__improved__loss__weights": {"lpips": 1.0}}


def test_the_default_needs_no_file() -> None:
    assert told() == {}


def test_only_weights_in_use_are_asked_for() -> None:
    assert told(**VGG, variants__improved__loss__weights={"perceptual": 0.0}) == {}
    assert told(loss__lpips__network="vgg") == {}
    key = "variants.improved.loss.perceptual.weights"
    errors = told(**VGG)
    assert list(errors) == [key], "original has no perceptual term"
    assert "sharpvae weights vgg16" in errors[key]
    assert "set loss.perceptual.network: critic" in errors[key]
    at_hand("vgg16")
    assert told(**VGG) == {}


def test_lpips_asks_for_its_trunk() -> None:
    errors = told(**LPIPS)
    text = errors["variants.improved.loss.lpips.weights"]
    assert "alexnet-owt-7be5be79.pth" in text
    assert "set variants.improved.loss.weights.lpips: 0" in text
    assert "vgg16-397923af" in "".join(told(**LPIPS, loss__lpips__network="vgg").values())
    at_hand("alexnet")
    assert told(**LPIPS) == {}


def test_inception_is_asked_for_before_anything_is_trained() -> None:
    text = told(metrics__features="inception")["metrics.weights"]
    assert "sharpvae weights inception" in text
    assert "set metrics.features: panel" in text
    at_hand("inception")
    assert told(metrics__features="inception") == {}


def test_lpips_refuses_images_that_leave_no_map() -> None:
    at_hand("alexnet", "vgg16")
    small = {
        "data__image_size": 28,
        "variants__original__model__widths": [8, 8],
        "variants__improved__model__widths": [8, 8],
    }
    assert told(**small) == {}
    text = told(**small, **LPIPS)["data.image_size"]
    for part in ("31x31", "28x28", "raise data.image_size", "loss.lpips.network: vgg",
                 "variants.improved.loss.weights.lpips: 0", "'improved'"):  # fmt: skip
        assert part in text, text
    assert told(**small, **LPIPS, loss__lpips__network="vgg") == {}


def maps(name: str, layers: tuple[int, ...], pixels: int) -> bool:
    """Whether torchvision's own layers leave a map, by running them on a tensor of shapes alone."""
    with torch.device("meta"):
        features = getattr(models, name)(weights=None).features
        hidden = torch.empty(1, 3, pixels, pixels)
        try:
            for layer in features[: max(layers) + 1]:
                hidden = layer(hidden)
        except RuntimeError:
            return False
    return min(hidden.shape) > 0


@pytest.mark.parametrize("network", LPIPS_SMALLEST)
def test_the_smallest_image_of_lpips_is_that_of_its_layers(network: str) -> None:
    trunk, smallest = LPIPS_TRUNKS[network], LPIPS_SMALLEST[network]
    assert maps(trunk, LAYERS[network], smallest)
    assert not maps(trunk, LAYERS[network], smallest - 1)


@pytest.mark.parametrize("name", POOLS)
def test_the_layers_of_vgg_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        features = getattr(models, name)(weights=None).features
    assert len(features) == LENGTH[name]
    halving = [i for i, layer in enumerate(features) if isinstance(layer, torch.nn.MaxPool2d)]
    assert tuple(halving) == POOLS[name]


def test_a_layer_without_a_map_is_refused() -> None:
    at_hand("vgg16")
    size = {"preset": "toy", "data__image_size": 16}
    assert told(**VGG, **size, loss__perceptual__layers=[29]) == {}
    assert not maps("vgg16", (30,), 16)
    errors = told(**VGG, **size, loss__perceptual__layers=[1, 30])
    assert "at least 32 pixels" in errors["data.image_size"]
    assert told(**VGG, **size, loss__perceptual__layers=[30], loss__perceptual__resize=32) == {}
    errors = told(**VGG, loss__perceptual__layers=[30], loss__perceptual__resize=16)
    assert "at least 32 pixels" in errors["loss.perceptual.resize"]


def test_a_layer_that_does_not_exist_is_refused() -> None:
    at_hand("vgg16")
    errors = told(**VGG, loss__perceptual__layers=[3, 31])
    assert "from 0 to 30" in errors["loss.perceptual.layers"]


@pytest.mark.parametrize("kind", ["the same path", "a link", "the same digest"])
def test_the_file_that_scores_is_not_for_a_loss(tmp_path: Path, kind: str) -> None:
    at_hand("inception")
    inception = cache() / PRETRAINED["inception"].file
    path = tmp_path / ("copy-6726825d.pth" if kind == "the same digest" else "link.pth")
    if kind == "the same path":
        path = inception
    elif kind == "a link":
        path.symlink_to(inception)
    else:
        path.touch()
    given = {"loss__perceptual__weights": str(path), "metrics__features": "inception"}
    assert "scores" in told(**VGG, **given)["loss.perceptual.weights"]
    lpips = {"loss__lpips__weights": str(path), "metrics__features": "inception"}
    assert "scores" in told(**LPIPS, **lpips)["loss.lpips.weights"]


def test_the_judge_does_not_share_the_critics_seed() -> None:
    assert "critic.seed" in told(judge__seed=7, critic__seed=7)["judge.seed"]


def test_a_kid_subset_of_ones_own_fits_into_the_samples() -> None:
    text = told(sample__count=10, metrics__kid_subset_size=500)["sample.count"]
    for part in ("at least 500", "10", "lower metrics.kid_subset_size"):
        assert part in text
    assert told(sample__count=500, metrics__kid_subset_size=500) == {}
    assert told(sample__count=2) == {}, "a subset is as large as the images allow"
    assert told(metrics__kid_subset_size=500) == {}, "so are the samples; prepare counts the test"
