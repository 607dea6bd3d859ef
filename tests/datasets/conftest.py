"""Fixtures of the tests of datasets."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sharpvae.datasets import download
from sharpvae.datasets.config import DataConfig
from tests.datasets.samples import Config, Record, Server, TinyDigits


@pytest.fixture(autouse=True)
def no_mirror_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests must not depend on who runs them."""
    monkeypatch.delenv("SHARPVAE_MIRROR", raising=False)
    for variable in (
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "all_proxy",
        "no_proxy",
        "NO_PROXY",
    ):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(autouse=True)
def hardly_a_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries again as often as ever, but soon."""
    monkeypatch.setattr(download, "BACK_OFF", (0.01,) * len(download.BACK_OFF))


@pytest.fixture
def data_config() -> Config:
    """A folder of images at 16x16; keywords change it."""
    base: dict[str, object] = {
        "name": "folder", "path": None, "mirror": None, "image_size": 16, "fit": "pad",
        "subset": None, "classes": None, "validation_fraction": 0.25, "test_fraction": 0.25,
        "binarize": None, "strict": False, "seed": 0,
    }  # fmt: skip
    return lambda **changes: DataConfig.model_validate({**base, **changes})


@pytest.fixture(scope="session")
def tiny() -> TinyDigits:
    """A dataset of MNIST's form, small and with its own hashes."""
    return TinyDigits()


@pytest.fixture
def server() -> Iterator[Server]:
    """A real HTTP server on loopback."""
    with Server().serving() as made:
        yield made


@pytest.fixture
def record() -> Record:
    """A `Progress` that remembers."""
    return Record()
