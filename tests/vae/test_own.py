"""A network of the user's own behind the interface of a VAE: passed on, copied, saved, found."""

from __future__ import annotations

import copy
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from sharpvae.core.errors import UserError
from sharpvae.vae.own import load, nearest_weight
from sharpvae.vae.vae import VAE, load_vae, save_vae
from tests.networks import EXAMPLE, NETWORK, changed, written

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    return tmp_path


def test_images_pass_as_through_ours(model_config, place: Path) -> None:
    vae = VAE(model_config(family=written(place), log_var_clamp=[-0.01, 0.01]), 3, 16)
    images, noise = torch.rand(5, 16, 16, 3).permute(0, 3, 1, 2), torch.randn(5, 4)
    codes = torch.randn(5, 4)
    drawn, posterior = vae(images, noise, None, codes)  # `view` works, though channels come last
    mean, log_var = vae.network.encode(images.contiguous())
    assert torch.equal(posterior.mean, mean)
    assert torch.equal(posterior.log_var, log_var.clamp(-0.01, 0.01))
    latents = torch.cat([posterior.sample(noise), codes])
    assert torch.equal(drawn, vae.network.decode(latents))
    assert torch.equal(vae.encoder(images, torch.arange(5)).mean, mean), "labels are left out"


def test_a_conditional_one_gets_the_labels(model_config) -> None:
    vae = VAE(model_config(family=EXAMPLE, conditional=True), 1, 16, classes=3).eval()
    image, latent = torch.rand(1, 1, 16, 16), torch.randn(1, 4)
    one, other = torch.tensor([0]), torch.tensor([2])
    assert not torch.equal(vae.encoder(image, one).mean, vae.encoder(image, other).mean)
    assert not torch.equal(vae.decoder(latent, one), vae.decoder(latent, other))
    with pytest.raises(ValueError, match="labels"):
        vae.encoder(image)


def test_a_copy_has_a_network_of_its_own(model_config, place: Path) -> None:
    vae = VAE(model_config(family=written(place)), 1, 16)
    again = copy.deepcopy(vae)
    for weight in vae.parameters():
        nn.init.zeros_(weight)
    assert again.decoder.network is again.network is again.encoder.network
    assert again.decoder(torch.ones(1, 4)).std() > 0 == vae.decoder(torch.ones(1, 4)).std()


def test_it_comes_back_bit_for_bit_from_the_code_it_was_trained_with(
    model_config, place: Path
) -> None:
    config = model_config(family=written(place), arguments={"width": 5})
    vae = VAE(config, 1, 16).eval()
    save_vae(place, vae, config, 1, 16)
    assert "body" not in (place / "network.json").read_text(), "settings, not code"
    again, images = load_vae(place, CPU), torch.rand(2, 1, 16, 16)
    assert torch.equal(again.encoder(images).mean, vae.encoder(images).mean)
    written(place, NETWORK + "# changed\n")
    with pytest.raises(UserError, match=r"(?s)model\.family: networks/net\.py.*network\.json"):
        load_vae(place, CPU)
    written(place)
    load_vae(place, CPU)


@pytest.mark.parametrize(
    "head",
    [
        nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 9), nn.Sigmoid()),
        nn.Sequential(nn.Linear(4, 9, bias=False), nn.Unflatten(1, (1, 3, 3))),
        nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 4, 1), nn.ConvTranspose2d(4, 1, 3)),
    ],
)
def test_the_layer_that_draws_the_pixels_is_found(head: nn.Sequential) -> None:
    last = [layer for layer in head if hasattr(layer, "weight")][-1]
    assert nearest_weight(2 * head(torch.zeros(2, 4)).flatten(1)) is last.weight


def test_the_weight_of_the_last_layer_moves_with_the_network(model_config) -> None:
    vae = VAE(model_config(family=EXAMPLE), 1, 16).train()
    assert vae.decoder.last_weight is vae.network.decoder[-1].weight
    assert vae.training and vae.network.training
    again = copy.deepcopy(vae)
    assert again.decoder.last_weight is again.network.decoder[-1].weight


def test_a_file_is_run_as_it_is_now(place: Path) -> None:
    """Not as bytecode of a file of the same size and second says."""
    first = load(written(place, changed("width=8", "width=6")))
    second = load(written(place, changed("width=8", "width=7")))
    assert [kind.__init__.__defaults__ for kind in (first, second)] == [(6,), (7,)]
    assert load("networks/net.py:Net") is second
    assert [path.name for path in (place / "networks").iterdir()] == ["net.py"]


def test_a_module_of_the_repository_is_found_from_any_command(place: Path) -> None:
    written(place, name="ours/net.py")
    written(place, NETWORK.replace("import torch\n", "import torch\nimport ours.net\n", 1))
    assert load("ours.net:Net").__module__ == "ours.net"
    assert load("networks/net.py:Net").__name__ == "Net"
    for name in ("ours", "ours.net"):
        del sys.modules[name]


def test_another_module_of_that_name_is_told(place: Path) -> None:
    written(place, name="json.py")  # which Python has loaded long ago
    with pytest.raises(UserError, match=r"json is .*, not json\.py"):
        load("json:Net")
