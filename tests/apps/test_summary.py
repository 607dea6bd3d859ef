from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from apps.describe import layers
from sharpvae.objective.discriminator import Discriminator
from sharpvae.vae.vae import VAE


@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
@pytest.mark.parametrize("head", ["conv", "upsampling"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_multiply_adds_are_half_of_pytorch_s_own_count(
    model_config, upsampling, head, norm
) -> None:
    vae = VAE(model_config(upsampling=upsampling, head=head, norm=norm, widths=[4, 8]), 3, 16)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vae.eval()(torch.zeros(1, 3, 16, 16), torch.zeros(1, vae.latent_dim))
    found = layers(vae, 3, 16)
    assert 2 * sum(layer.multiply_adds for layer in found) == counter.get_total_flops()
    assert sum(layer.parameters for layer in found) == sum(w.numel() for w in vae.parameters())


@pytest.mark.parametrize(
    "changes",
    [
        {"family": "mlp", "dropout": 0.1, "norm": "group"},
        {"family": "mlp", "widths": [8]},
        {"blocks": "residual", "norm": "group", "ends": "bare"},
        {"widths": [4], "head": "upsampling"},
    ],
)
@pytest.mark.parametrize("conditional", [True, False])
def test_every_family_is_counted(model_config, changes, conditional) -> None:
    vae = VAE(model_config(**changes, conditional=conditional), 1, 16, classes=3).eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        vae(torch.zeros(1, 1, 16, 16), torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))
    found = layers(vae, 1, 16)
    assert 2 * sum(layer.multiply_adds for layer in found) == counter.get_total_flops()
    assert sum(layer.parameters for layer in found) == sum(w.numel() for w in vae.parameters())
    assert all(layer.kind != "Sequential" for layer in found)


@pytest.mark.parametrize("norm", ["none", "batch", "group", "spectral"])
def test_a_discriminator_is_counted(norm) -> None:
    network = Discriminator(3, [4, 8, 8, 16], norm=norm).train()
    found = layers(network, 3, 16)
    assert network.training
    by_hand = 3 * 4 * 9 * 256 + 4 * 8 * 16 * 64 + 8 * 8 * 16 * 16 + 8 * 16 * 9 * 16 + 16 * 16
    assert sum(layer.multiply_adds for layer in found) == by_hand
    assert sum(layer.parameters for layer in found) == sum(w.numel() for w in network.parameters())
    assert (found[0].kind, found[0].name) == ("Conv2d 3x3", "body.0.0")
    assert found[-1].shape == (1, 4, 4)


def test_layers_come_in_the_order_of_the_image(model_config) -> None:
    vae = VAE(model_config(widths=[4, 8], kernel=4, head="upsampling"), 1, 16).train()
    found = layers(vae, 1, 16)
    shapes = [layer.shape for layer in found]
    assert shapes[0] == (4, 8, 8)
    assert shapes[-1] == (1, 16, 16)
    assert found[0].kind == "Conv2d 4x4, stride 2"
    names = [layer.name for layer in found]
    stem = names.index("decoder.stem.0")
    assert names.index("encoder.mean") < stem < names.index("decoder.head")
    assert vae.training
    assert layers(vae, 1, 16) == found  # nothing stays hooked on
