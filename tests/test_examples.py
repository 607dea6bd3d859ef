"""The networks in examples/ keep the contract, if their projects are there; the rest of it runs."""

from __future__ import annotations

import copy
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from PIL import Image
from torch import Tensor, nn

from sharpvae.core.errors import UserError
from sharpvae.vae.contract import check
from sharpvae.vae.vae import VAE
from tests.imports import REPOSITORY
from tests.toy import environment

CPU = torch.device("cpu")
PYTHAE = f"{REPOSITORY}/examples/pythae_convnet.py:PythaeConvnet"
KL = f"{REPOSITORY}/examples/autoencoder_kl.py:FlatAutoencoderKL"
needs_pythae = pytest.mark.skipif(
    find_spec("pythae") is None, reason="Pythae is not installed: pip install -e '.[bench]'"
)


@needs_pythae
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("size", [28, 32])
def test_pythae_s_network_for_mnist(model_config, size: int) -> None:
    config = model_config(family=PYTHAE, latent_dim=16)
    check(config, 1, size, 0, CPU)
    vae = VAE(config, 1, size).eval()
    parts = vae.network.encoder, vae.network.decoder
    digits = torch.nn.functional.pad(torch.rand(2, 1, 28, 28), [(size - 28) // 2] * 4)
    inner = digits[:, :, (size - 28) // 2 :, (size - 28) // 2 :][:, :, :28, :28]
    found = parts[0](inner)
    assert torch.equal(vae.encoder(digits).mean, found.embedding)
    assert vae.decoder(found.embedding).shape == digits.shape
    assert [type(part).__module__.split(".")[0] for part in parts] == ["pythae"] * 2


@needs_pythae
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_pythae_s_network_says_what_it_is_for(model_config) -> None:
    with pytest.raises(UserError, match="grey images of 28x28, or of 32x32"):
        check(model_config(family=PYTHAE), 3, 28, 0, CPU)


@pytest.fixture(autouse=True)
def unloaded() -> None:
    """Files are run anew, as what they import may be another one."""
    for name in [name for name in sys.modules if name.startswith("own_")]:
        del sys.modules[name]


class StandIn(nn.Module):
    """The interface of diffusers' AutoencoderKL, with one convolution each way."""

    def __init__(self, in_channels: int, out_channels: int, latent_channels: int, **other: Any):
        super().__init__()
        scale = 2 ** (len(other["block_out_channels"]) - 1)
        self.down = nn.Conv2d(in_channels, 2 * latent_channels, scale, scale)
        self.up = nn.ConvTranspose2d(latent_channels, out_channels, scale, scale)

    def encode(self, images: Tensor) -> SimpleNamespace:
        mean, logvar = self.down(images).chunk(2, 1)
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=mean, logvar=logvar))

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=self.up(latents))


def test_codes_that_are_maps_are_laid_out_as_vectors(model_config, monkeypatch) -> None:
    stand_in = ModuleType("diffusers")
    stand_in.AutoencoderKL = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "diffusers", stand_in)
    config = model_config(family=KL, latent_dim=48)
    check(config, 3, 16, 0, CPU)
    vae = VAE(config, 3, 16)
    assert vae.network.shape == (3, 4, 4)
    images = torch.rand(2, 3, 16, 16)
    maps = vae.network.inner.encode(2 * images - 1).latent_dist.mean
    assert torch.equal(vae.encoder(images).mean.view(2, 3, 4, 4), maps)
    with pytest.raises(UserError, match="a multiple of 4 x 4, not 50"):
        VAE(model_config(family=KL, latent_dim=50), 3, 16)


@pytest.mark.skipif(find_spec("diffusers") is None, reason="diffusers is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_autoencoder_of_diffusers(model_config) -> None:
    check(model_config(family=KL, latent_dim=64), 3, 16, 0, CPU)


@pytest.mark.slow
def test_from_data_to_a_picture_in_forty_lines(tmp_path: Path) -> None:
    script = REPOSITORY / "examples/train_mnist.py"
    assert len(script.read_text().splitlines()) <= 40
    command = [sys.executable, script, "toy", "made"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), check=True, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "drawn: made/headline.png"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    with Image.open(tmp_path / "made/headline.png") as picture:
        assert picture.width == picture.height > 10 * 48
        assert len(picture.getcolors() or range(257)) > 2


def shown(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """The kinds of what each cell shows."""
    cells = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return [sorted({"text" if "text" in out else "picture" for out in outs}) for outs in cells]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of the kernel's libraries
def test_the_notebook_runs_and_shows_what_it_was_kept_with(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("MPLBACKEND", raising=False)  # Streamlit sets it where it is imported
    kept = nbformat.read(REPOSITORY / "examples/sharpvae.ipynb", as_version=4)
    fresh = copy.deepcopy(kept)
    NotebookClient(fresh, timeout=400, resources={"metadata": {"path": tmp_path}}).execute()
    assert shown(fresh) == shown(kept)
    last = "".join(out.text for out in fresh.cells[-1].outputs)
    assert "Samples of toy are" in last and "Blur, px" in last
    assert "\x1b" not in last, "a notebook's file is read as plain text, too"
