"""The table of weights against those who publish them, and what is said where one is absent."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
from torchvision.models import AlexNet_Weights, VGG16_Weights, VGG19_Weights

from sharpvae.core.errors import UserError
from sharpvae.perception.pretrained import PRETRAINED, cache, find, location, same

TORCHVISION = {"alexnet": AlexNet_Weights, "vgg16": VGG16_Weights, "vgg19": VGG19_Weights}


@pytest.mark.parametrize("name", TORCHVISION)
def test_the_table_says_what_torchvision_says(name: str) -> None:
    published = TORCHVISION[name].IMAGENET1K_V1
    assert PRETRAINED[name].address == published.url
    mebibytes = PRETRAINED[name].size / 2**20
    assert mebibytes == pytest.approx(published.meta["_file_size"], rel=1e-3)


def test_the_table_says_what_torch_fidelity_says() -> None:
    assert PRETRAINED["inception"].address == URL_INCEPTION_V3
    assert PRETRAINED["inception"].digest == "6726825d"


@pytest.mark.parametrize(
    "variables",
    [{}, {"TORCH_HOME": "/somewhere"}, {"XDG_CACHE_HOME": "/cache"}, {"TORCH_HOME": "~/there"},
     {"TORCH_HOME": "/a", "XDG_CACHE_HOME": "/b"}],
)  # fmt: skip
def test_the_cache_is_the_one_that_torch_uses(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache() == Path(torch.hub.get_dir()) / "checkpoints"


def test_a_given_path_comes_before_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cache().mkdir(parents=True)
    kept = cache() / PRETRAINED["vgg16"].file
    mine = tmp_path / "mine.pth"
    for path in (kept, mine):
        path.touch()
    assert find("vgg16", None, "key", "instead") == kept == location("vgg16", None)
    assert find("vgg16", str(mine), "key", "instead") == mine


@pytest.mark.parametrize("given", [None, "no/such.pth", "."])
def test_absence_says_which_file_where_from_and_how_to_mirror_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as caught:
        find("vgg16", given, "loss.perceptual.weights", "use the critic")
    text = str(caught.value)
    for part in (
        "loss.perceptual.weights", "vgg16-397923af.pth", PRETRAINED["vgg16"].address,
        "sharpvae weights vgg16", "--mirror <folder or http address>", "use the critic",
        str(tmp_path / "hub" / "checkpoints" / "vgg16-397923af.pth"), "553 MB",
        "a folder at" if given == "." else "no file at",
    ):  # fmt: skip
        assert part in text, text


def test_one_file_under_two_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one.pth", tmp_path / "other.pth"
    one.touch()
    assert not same(one, other)
    other.symlink_to(one)
    assert same(one, other)
    assert same(tmp_path / "a-0123abcd.pth", Path("/elsewhere/b-0123abcd.pth"))
    assert not same(tmp_path / "a-0123abcd.pth", tmp_path / "a-0123abce.pth")
