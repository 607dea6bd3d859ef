"""Activations overwrite their input: the same numbers from less memory."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from sharpvae.vae.vae import VAE


def update(vae: VAE) -> tuple[list[Tensor], int]:
    """Reconstructions and gradients of one update; bytes kept between forward and backward."""
    random = torch.Generator().manual_seed(0)
    images, noise = torch.rand(8, 1, 16, 16, generator=random), torch.randn(8, 4, generator=random)
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        reconstructions, posterior = vae(images, noise)
    loss = (reconstructions - images).square().sum() + posterior.log_var.square().sum()
    loss.backward()
    gradients = [weight.grad for weight in vae.parameters() if weight.grad is not None]
    assert len(gradients) == len(list(vae.parameters()))
    return [reconstructions, *gradients], sum(kept.values())


@pytest.mark.parametrize("family", ["conv", "mlp"])
@pytest.mark.parametrize("blocks", ["plain", "residual"])
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize(
    ("activation", "slope"),
    [("leaky_relu", 0.2), ("leaky_relu", 0.0), ("relu", 0), ("silu", 0), ("tanh", 0)],
)
def test_overwriting_changes_no_bit(
    model_config, family: str, blocks: str, norm: str, activation: str, slope: float
) -> None:
    torch.manual_seed(0)
    config = model_config(
        family=family, blocks=blocks, norm=norm, activation=activation, negative_slope=slope
    )
    vae = VAE(config, 1, 16).train()
    for weight in vae.parameters():  # a residual branch would start at 0
        nn.init.normal_(weight, std=0.1)
    apart = copy.deepcopy(vae)
    for layer in apart.modules():
        if hasattr(layer, "inplace"):
            layer.inplace = False
    (ours, kept), (theirs, more) = update(vae), update(apart)
    assert all(torch.equal(one, two) for one, two in zip(ours, theirs, strict=True))
    # A ReLU has always kept its output alone.
    assert kept < more if activation == "leaky_relu" else kept == more
