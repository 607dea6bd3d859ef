"""Small configurations that several tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch

from sharpvae.config.resolve import resolve_file
from sharpvae.objective.config import LossConfig
from sharpvae.training.config import TrainConfig
from sharpvae.vae.config import ModelConfig

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("sharpvae", deadline=None)
hypothesis.settings.load_profile("sharpvae")

REPOSITORY = Path(__file__).parents[1]
IMPROVED = resolve_file(REPOSITORY / "params.yaml").experiment.variants["improved"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Of the campaigns of tests/hostile; pytest reads no options off its conftest.py."""
    parser.addoption("--share", type=float, default=0.1, help="of hostile inputs and faults")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Toy tensors are slower on many threads, and the tests' timings steadier on one."""
    torch.set_num_threads(1)


def toy_model(**changes: Any) -> dict[str, Any]:
    """The improved model at toy size; keywords change it."""
    toy = {"latent_dim": 4, "widths": [4, 8], "width_scale": 1.0}
    return {**IMPROVED.model.model_dump(), **toy, **changes}


def toy_loss(**changes: Any) -> dict[str, Any]:
    """MSE + beta * KL at beta 1, all weights constant; keywords change it, section by section."""
    at_once = {"shape": "constant", "unit": "epochs", "start": 0.0, "length": 0.0, "cycle": 0.0,
               "every": "step"}  # fmt: skip
    config = {**IMPROVED.loss.model_dump(), "beta": 1.0}
    config["weights"] = dict.fromkeys(config["weights"], 0.0) | {"mse": 1.0}
    config["schedules"] = {name: dict(at_once) for name in config["schedules"]}
    for section, keys in changes.items():
        if section == "schedules":
            keys = {name: {**at_once, **schedule} for name, schedule in keys.items()}
        config[section] = {**config[section], **keys} if isinstance(keys, dict) else keys
    return config


def toy_train(**changes: Any) -> dict[str, Any]:
    """Three epochs of plain Adam; keywords change it."""
    toy = {"epochs": 3, "updates": None, "batch_size": 8, "lr": 1e-3, "scheduler": "none",
           "optimizer": "adam", "grad_clip": 0.0, "early_stop_patience": 0,
           "precision": "fp32"}  # fmt: skip
    return {**IMPROVED.train.model_dump(), **toy, **changes}


@pytest.fixture
def model_config() -> Callable[..., ModelConfig]:
    """See `toy_model`."""
    return lambda **changes: ModelConfig.model_validate(toy_model(**changes))


@pytest.fixture
def loss_config() -> Callable[..., LossConfig]:
    """See `toy_loss`."""
    return lambda **changes: LossConfig.model_validate(toy_loss(**changes))


@pytest.fixture
def train_config() -> Callable[..., TrainConfig]:
    """See `toy_train`."""
    return lambda **changes: TrainConfig.model_validate(toy_train(**changes))
