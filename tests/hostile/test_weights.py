"""Damaged weights, priors, descriptions of networks, checkpoints: what they were, or an error."""

from __future__ import annotations

import json
import random
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sharpvae.core.weights import load_weights, save_weights
from sharpvae.sampling.stored import HEADLINES, load_priors
from sharpvae.trained.model import NETWORK, WEIGHTS, load
from sharpvae.training.checkpoints import Checkpoints, Ticket, read_ticket
from sharpvae.vae.config import ModelConfig
from tests.conftest import toy_model
from tests.hostile.campaign import attack, hostile
from tests.hostile.mutate import PLAIN, mutants, tree_mutants
from tests.trained.toys import make

_TYPES = ("F64", "F16", "BF16", "I32", "I64", "U8", "BOOL", "C64", "F8_E4M3", "X1", 3, None)
PRIORS = Path("data/samples/toy/5/priors.safetensors")


def header(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Another value in the header of a .safetensors, whose length fits."""
    try:
        length = struct.unpack("<Q", data[:8])[0]
        told = json.loads(data[8 : 8 + length])
    except (struct.error, ValueError):
        return data
    if draw.random() < 0.5:
        odd = next(tree_mutants([told], draw.randrange(1, 40), PLAIN))
    else:
        names = [name for name in told if isinstance(told[name], dict) and "dtype" in told[name]]
        name, other = draw.choice(names or ["x"]), draw.choice(names or ["x"])
        changed = draw.choice(
            ({"dtype": draw.choice(_TYPES)}, {"shape": [2**40, 2**40]}, told.get(other, {}))
        )
        odd = told | {name: {**told.get(name, {}), **changed}}
    text = json.dumps(odd).encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a toy VAE, its mixture and its flow."""
    place = tmp_path_factory.mktemp("trained")
    make(place, ModelConfig.model_validate(toy_model(conditional=True)))
    return place


@hostile()
def test_damaged_weights_are_those_of_the_network_or_told(
    request: pytest.FixtureRequest, tmp_path: Path, count: int
) -> None:
    torch.manual_seed(0)
    path, network = tmp_path / WEIGHTS, nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    save_weights(path, network)
    shapes = {name: value.shape for name, value in network.state_dict().items()}
    seeds = [path.read_bytes()]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        load_weights(path, network)
        assert {name: value.shape for name, value in network.state_dict().items()} == shapes

    tally = attack(request, "weights: safetensors", mutants(seeds, count, [header]), read)
    assert tally.right and tally.refused


@hostile()
def test_damaged_priors_can_be_drawn_from_or_are_told(
    request: pytest.FixtureRequest, root: Path, tmp_path: Path, count: int
) -> None:
    vae = load(root / "models/toy/5", "cpu").network
    path, labels = tmp_path / PRIORS.name, torch.zeros(2, dtype=torch.int64)
    seeds = [(root / PRIORS).read_bytes()]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        found = load_priors(path, vae)
        assert found.headline in HEADLINES
        for density in (found.mixture, found.flow):
            codes = density.sample(2, torch.Generator().manual_seed(0), labels)
            assert codes.shape == (2, vae.latent_dim)

    tally = attack(request, "weights: priors", mutants(seeds, count, [header]), read)
    assert tally.right and tally.refused


def described(root: Path, folder: Path) -> tuple[dict[str, Any], Path]:
    """network.json, and where a copy with its weights lies."""
    shutil.copy(root / "models/toy/5" / WEIGHTS, folder)
    text = (root / "models/toy/5" / NETWORK).read_text()
    return json.loads(text), folder / NETWORK


@hostile()
def test_a_damaged_description_loads_or_is_told(
    request: pytest.FixtureRequest, root: Path, tmp_path: Path, count: int
) -> None:
    """As `sharpvae.load` reads a folder that came from somebody else."""
    told, path = described(root, tmp_path)
    texts = [json.dumps(told).encode()]
    trees = tree_mutants([told], count // 2, PLAIN)
    inputs = [*mutants(texts, count - count // 2), *(written(tree) for tree in trees)]

    def read(data: bytes) -> None:
        path.write_bytes(data)
        vae = load(tmp_path, "cpu")
        assert vae.channels == 1 and vae.image_size >= 4 and vae.latent_dim == 4

    tally = attack(request, "weights: network.json", inputs, read)
    assert tally.right and tally.refused


def written(tree: Any) -> bytes:
    return json.dumps(tree).encode("utf-8", "surrogatepass")


STATE = {"update": {"step": 3}, "network": {"w": torch.arange(6.0)}, "history": [1.5, 2.5]}


@hostile()
def test_a_damaged_checkpoint_is_passed_over(
    request: pytest.FixtureRequest, tmp_path: Path, count: int
) -> None:
    """The one before it counts; nothing that is damaged is resumed from."""
    said: list[str] = []
    checkpoints = Checkpoints(tmp_path / "state", said.append)
    with checkpoints.held():
        for step in (2, 3):
            assert checkpoints.save(step, STATE | {"update": {"step": step}})
        before, newest = sorted(checkpoints.directory.glob("*.pt"))
        kept, whole = before.read_bytes(), newest.read_bytes()

        def read(data: bytes) -> None:
            newest.write_bytes(data)
            said.clear()
            found = checkpoints.newest()
            step = 3 if data == whole else 2
            assert found is not None and found["update"]["step"] == step
            assert torch.equal(found["network"]["w"], STATE["network"]["w"])
            assert newest.exists() == (data == whole) == (not said)
            assert before.read_bytes() == kept

        attack(request, "weights: checkpoints", mutants([whole], count), read)


@hostile()
def test_a_damaged_ticket_is_one_or_none(
    request: pytest.FixtureRequest, tmp_path: Path, count: int
) -> None:
    path = tmp_path / "training.json"
    Ticket("sharp", 0, "cpu of a machine", {"config": "a", "seed": "0"}).write(tmp_path)
    told = json.loads(path.read_text())
    trees = tree_mutants([told], count // 2, PLAIN)
    texts = mutants([path.read_bytes()], count - count // 2)

    def read(data: bytes) -> None:
        path.write_bytes(data)
        ticket = read_ticket(tmp_path)
        if ticket is not None:
            assert all(isinstance(text, str) for text in (ticket.variant, ticket.machine))
            assert ticket.identity.get("config", "") is not None

    inputs = [*texts, *(written(tree) for tree in trees)]
    assert attack(request, "weights: tickets of trainings", inputs, read).right


def test_values_that_no_density_has_are_told(root: Path, tmp_path: Path) -> None:
    """Bytes of values have no checksum: what is odd in them is noticed, and no more."""
    from safetensors.numpy import load_file, save_file

    vae = load(root / "models/toy/5", "cpu").network
    arrays = load_file(root / PRIORS)
    length = struct.unpack("<Q", (root / PRIORS).read_bytes()[:8])[0]
    about = json.loads((root / PRIORS).read_bytes()[8 : 8 + length])["__metadata__"]
    wrong = {
        "mixture.weights": np.array([0.5, 0.6]), "axes.noise": np.full(4, -1.0),
        "axes.centre": np.full(4, np.nan), "axes.signal": np.zeros(3),
        "mixture.factors": np.zeros((2, 4, 3)), "flow.last.bias": np.full(4, np.inf, np.float32),
    }  # fmt: skip
    for name, value in wrong.items():
        save_file(arrays | {name: value}, tmp_path / name, about)
        with pytest.raises(Exception, match="damaged: ") as caught:
            load_priors(tmp_path / name, vae)
        assert "dvc repro sample" in str(caught.value)
