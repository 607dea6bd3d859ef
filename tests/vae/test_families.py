"""Convolutions, residual blocks and linear layers: shapes, counts, gradients, first weights."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from sharpvae.vae.layers import SILU_GAIN, Residual, groups, initialise, weighted
from sharpvae.vae.vae import VAE

KINDS = [
    {"family": "conv", "blocks": "plain", "upsampling": "transposed"},
    {"family": "conv", "blocks": "residual", "upsampling": "nearest", "head": "conv"},
    {"family": "mlp", "dropout": 0.1},
]


def parameters(module: nn.Module) -> int:
    return sum(weight.numel() for weight in module.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "widths"),
    [(28, [3, 2]), (32, [2] * 5), (64, [2, 3, 4]), (128, [2] * 4), (256, [2] * 6)],
)
def test_every_size_comes_back_without_shapes_by_hand(
    model_config, kind, channels, size, widths
) -> None:
    vae = VAE(model_config(**kind, widths=widths), channels, size)
    images = torch.rand(2, channels, size, size)
    reconstructions, posterior = vae(images, torch.randn(2, 4))
    assert reconstructions.shape == images.shape
    assert posterior.mean.shape == posterior.log_var.shape == (2, 4)
    assert reconstructions.min() >= 0 and reconstructions.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("ends", ["normed", "bare"])
@pytest.mark.parametrize("activation", ["leaky_relu", "silu"])
def test_every_weight_gets_a_gradient(model_config, kind, norm, ends, activation) -> None:
    torch.manual_seed(0)
    changes = {**kind, "norm": norm, "ends": ends, "activation": activation, "widths": [8, 12]}
    vae = VAE(model_config(**changes, conditional=True), 3, 16, classes=3)
    for block in vae.modules():
        if isinstance(block, Residual):  # or what lies before its zero has no gradient yet
            nn.init.normal_(block.branch[-1].weight)
    images, labels = torch.rand(8, 3, 16, 16), torch.arange(8) % 3
    reconstructions, posterior = vae(images, torch.randn(8, 4), labels)
    ((reconstructions - images).square().sum() + posterior.log_var.square().sum()).backward()
    for name, weight in vae.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
@pytest.mark.parametrize("ends", ["normed", "bare"])
def test_the_count_of_a_convolutional_vae(model_config, norm, ends) -> None:
    """By hand: 4x4 kernels, two numbers a normed channel, a bias wherever there is no norm."""
    config = model_config(
        latent_dim=5, widths=[8, 16], kernel=4, norm=norm, ends=ends, upsampling="transposed",
        head="upsampling",
    )  # fmt: skip
    vae, flat = VAE(config, 3, 16, classes=0), 16 * 4 * 4
    after = 1 if norm == "none" else 2  # a bias, or scale and shift, for each channel
    first, stem = (1, 1) if ends == "bare" else (after, after)
    encoder = 3 * 8 * 16 + first * 8 + 8 * 16 * 16 + after * 16 + 2 * (flat * 5 + 5)
    decoder = 5 * flat + stem * flat + 16 * 8 * 16 + after * 8 + 8 * 3 * 16 + 3
    assert parameters(vae.encoder) == encoder
    assert parameters(vae.decoder) == decoder


def test_the_count_of_labels_and_residual_blocks(model_config) -> None:
    def count(**changes: object) -> int:
        config = model_config(widths=[8, 16], kernel=3, head="conv", **changes)
        return parameters(VAE(config, 1, 16, classes=10))

    plain = count()
    assert count(conditional=True) - plain == 10 * 8 * 9 + 10 * 16 * 4 * 4
    # Two 3x3 convolutions, two norms, and the bias of the one that no norm follows.
    added = sum(2 * 9 * c * c + 2 * 2 * c + c for c in (8, 16, 8, 8))
    assert count(blocks="residual") - plain == added


def test_the_third_documents_network(model_config) -> None:
    config = model_config(
        family="mlp", latent_dim=2, widths=[512, 256, 128], norm="batch", dropout=0.1
    )
    vae = VAE(config, 1, 28)
    sizes = [784, 512, 256, 128]
    inner = [a * b + 2 * b for a, b in pairwise(sizes[1:])]
    assert parameters(vae.encoder) == 784 * 512 + 512 + sum(inner) + 2 * (128 * 2 + 2)
    back = [a * b + 2 * b for a, b in pairwise(sizes[:0:-1])]
    assert parameters(vae.decoder) == 2 * 128 + 128 + sum(back) + 512 * 784 + 784
    kinds = [type(layer).__name__ for layer in vae.encoder.body.modules()]
    assert [kinds.count(kind) for kind in ("Linear", "BatchNorm1d", "Dropout")] == [3, 2, 2]
    kinds = [type(layer).__name__ for layer in vae.decoder.modules()]
    assert [kinds.count(kind) for kind in ("Linear", "BatchNorm1d", "Dropout")] == [4, 2, 2]


def test_the_second_documents_network(model_config) -> None:
    config = model_config(
        latent_dim=128, widths=[64, 128, 256, 512], width_scale=0.125, kernel=4, ends="bare",
        activation="relu", head="upsampling", upsampling="transposed", conditional=True,
    )  # fmt: skip
    vae = VAE(config, 3, 96, classes=3)
    first, second = vae.encoder.body[0], vae.encoder.body[1]
    assert [type(layer).__name__ for layer in first] == ["Conv2d", "ReLU"]
    assert first[0].in_channels == 3 + 3
    assert [type(layer).__name__ for layer in second] == ["Conv2d", "BatchNorm2d", "ReLU"]
    assert [type(layer).__name__ for layer in vae.decoder.stem] == ["Linear", "Unflatten"]
    assert vae.decoder.stem[0].in_features == 128 + 3
    assert len(vae.decoder.body) == 3


def test_dropout_acts_in_training_alone(model_config) -> None:
    vae = VAE(model_config(family="mlp", widths=[32, 32], dropout=0.5), 1, 16)
    images = torch.rand(4, 1, 16, 16)
    vae.train()
    assert not torch.equal(vae.encoder(images).mean, vae.encoder(images).mean)
    vae.eval()
    assert torch.equal(vae.encoder(images).mean, vae.encoder(images).mean)


@pytest.mark.parametrize("init", ["default", "kaiming"])
@pytest.mark.parametrize("norm", ["batch", "none"])
def test_a_residual_vae_starts_as_the_plain_one(model_config, init, norm) -> None:
    residual = VAE(model_config(blocks="residual", init=init, norm=norm), 1, 16)
    plain = VAE(model_config(blocks="plain", init=init, norm=norm), 1, 16)
    plain.load_state_dict({name: residual.state_dict()[name] for name in plain.state_dict()})
    images, noise = torch.rand(4, 1, 16, 16), torch.randn(4, 4)
    assert torch.equal(residual(images, noise)[0], plain(images, noise)[0])


@given(st.integers(1, 600))
def test_groups_divide_their_channels(channels: int) -> None:
    count = groups(channels)
    assert channels % count == 0 and 1 <= count <= 8
    assert count == 1 or channels // count >= 4
    if channels % 32 == 0:
        assert count == 8


def test_the_norm_of_the_stem_keeps_to_groups_of_maps(model_config) -> None:
    config = model_config(norm="group", widths=[8, 16], activation="leaky_relu", negative_slope=1.0)
    vae = VAE(config, 1, 16)  # with a slope of 1 the activation is the identity
    maps = vae.decoder.stem(torch.randn(3, 4)).reshape(3, groups(16), -1)
    assert torch.allclose(maps.mean(2), torch.zeros(3, groups(16)), atol=1e-5)
    assert torch.allclose(maps.var(2, correction=0), torch.ones(3, groups(16)), atol=1e-2)


def test_a_group_norm_leaves_something_of_one_pixel(model_config) -> None:
    """Four halvings of 16 pixels: each group then holds its channels and nothing else."""
    encoder = VAE(model_config(norm="group", widths=[8, 8, 8, 16]), 1, 16).encoder
    posterior = encoder(torch.rand(6, 1, 16, 16))
    assert posterior.mean.std(0).min() > 1e-3


def test_silus_gain_keeps_the_second_moment() -> None:
    x = torch.linspace(-10, 10, 200_001, dtype=torch.float64)
    density = torch.exp(-x.square() / 2) / (2 * torch.pi) ** 0.5
    moment = torch.trapezoid(nn.functional.silu(x).square() * density, x)
    assert pytest.approx(1.0, abs=1e-4) == SILU_GAIN**2 * moment


def test_kaiming_keeps_the_second_moment_through_layers_of_silu(model_config) -> None:
    """Where it is 1; the gain of a rectifier would halve it about every other layer."""
    torch.manual_seed(0)
    stack = nn.Sequential(*(m for _ in range(8) for m in (nn.Linear(512, 512), nn.SiLU())))
    initialise(model_config(activation="silu", init="kaiming"), [stack], [])
    inputs = torch.randn(512, 512) / SILU_GAIN
    before, after = (stack[:end](inputs).square().mean().item() for end in (1, -1))
    assert before == pytest.approx(1.0, abs=0.02)
    assert 0.8 < after < 1.25
    for layer in weighted([stack]):
        with torch.no_grad():
            layer.weight.mul_(2**0.5 / SILU_GAIN)
    assert stack[:-1](inputs).square().mean() < 0.1


def test_kaiming_draws_layers_before_a_tanh_by_its_gain(model_config) -> None:
    torch.manual_seed(0)
    config = model_config(activation="tanh", init="kaiming", norm="none", family="mlp")
    stack = nn.Sequential(nn.Linear(512, 512), nn.Tanh())
    initialise(config, [stack], [])
    assert stack[0].weight.std().item() == pytest.approx(5 / 3 / 512**0.5, rel=0.01)
    vae = VAE(config, 1, 16)
    assert sum(isinstance(layer, nn.Tanh) for layer in vae.modules()) == 4
    assert not any(isinstance(layer, nn.SiLU | nn.LeakyReLU) for layer in vae.modules())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
@pytest.mark.parametrize("head", ["conv", "upsampling"])
def test_the_last_weight_draws_the_pixels(model_config, kind, upsampling, head) -> None:
    decoder = VAE(model_config(**{**kind, "upsampling": upsampling, "head": head}), 3, 16).decoder
    weight = decoder.last_weight
    assert isinstance(weight, nn.Parameter)
    nn.init.zeros_(weight)
    images = decoder(torch.randn(5, 4))
    assert (images == images[:1]).all(), "without it the latents no longer reach the pixels"
    assert any(weight is other for other in decoder.parameters())
