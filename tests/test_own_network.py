"""A network of the user's own through the stages: trained, sampled, refused without a trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.imports import REPOSITORY
from tests.networks import NETWORK, written
from tests.toy import dvc, passes, stage, toy, under_dvc, with_variants

VARIANT = (
    "{model: {family: 'networks/mine.py:ResidualVAE', latent_dim: 8, arguments: {width: 4}}, "
    "loss: {weights: {perceptual: 0}}, sample: {flow: {steps: 20}}}"
)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything before the training of `mine`, the one variant."""

    def mine(text: str) -> str:
        text = text.replace("conditional: false", "conditional: true ")
        return with_variants(text, f"  mine: {VARIANT}")

    place = toy(tmp_path_factory.mktemp("toy"), mine)
    (place / "networks").mkdir()
    shutil.copy(REPOSITORY / "examples/my_network.py", place / "networks/mine.py")
    for name in ("configure", "prepare"):
        passes(place, name)
    (place / "models/critic").mkdir(parents=True)  # which this loss does not use
    return place


@pytest.fixture
def place(prepared: Path, tmp_path: Path) -> Path:
    shutil.copytree(prepared, tmp_path / "copy")
    return tmp_path / "copy"


def test_it_is_trained_and_draws(place: Path) -> None:
    said = passes(place, "train", "mine", "0")
    assert "family networks/mine.py:ResidualVAE" in said and "arguments.width 4" in said
    described = json.loads((place / "models/mine/0/network.json").read_text())
    assert described["classes"] == 10
    config = json.loads((place / "configs/mine/train.json").read_text())
    assert described["code"] == config["code"] and described["model"] == config["model"]
    passes(place, "sample", "mine", "0")
    images = np.load(place / "data/samples/mine/0/headline.npy")
    assert images.shape[1:] == (16, 16, 1) and images.dtype == np.uint8
    with (place / "networks/mine.py").open("a") as file:
        file.write("# changed\n")
    for name in ("train", "sample"):
        done = stage(place, name, "mine", "0")
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert "model.family: networks/mine.py:ResidualVAE" in done.stderr
        assert "dvc repro" in done.stderr


def test_a_broken_one_is_told_before_training_and_leaves_nothing(place: Path) -> None:
    text = NETWORK.replace("Net(", "ResidualVAE(")
    for more, part in (
        ("\nraise RuntimeError('boom')\n", "RuntimeError: boom (networks/mine.py, line 21)"),
        ("", "unexpected keyword argument 'classes'"),
    ):
        written(place, text + more, "networks/mine.py")
        passes(place, "configure")
        before = sorted(place.rglob("*"))
        done = stage(place, "train", "mine", "0")
        assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
        assert done.stderr.startswith("error: model.family: networks/mine.py:ResidualVAE\n")
        assert part in done.stderr
        assert sorted(place.rglob("*")) == before


@pytest.mark.slow
def test_dvc_sees_a_changed_file_in_networks(place: Path) -> None:
    """Without being told; one elsewhere once `configure` is forced, as docs/networks.md says."""
    under_dvc(place)
    (place / "elsewhere.py").write_text("# one\n")

    def configured(*options: str) -> str:
        """The digest in the configuration, after `dvc repro configure`."""
        dvc(place, "repro", *options, "configure")
        return json.loads((place / "configs/mine/train.json").read_text())["code"]

    first = configured()
    assert configured() == first
    with (place / "networks/mine.py").open("a") as file:
        file.write("import elsewhere\n")
    second = configured()
    assert second != first
    (place / "elsewhere.py").write_text("# another\n")
    assert configured() == second, "of which DVC knows nothing"
    assert configured("--force") != second
