from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sharpvae.networks.summary import layers
from sharpvae.networks.vae import VAE


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
