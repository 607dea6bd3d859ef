"""Shapes, ranges and initialisation of encoder and decoder."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sharpvae.vae.layers import initialise, upsample
from sharpvae.vae.vae import VAE, Posterior


@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("head", ["conv", "upsampling"])
@pytest.mark.parametrize("upsampling", ["transposed", "nearest"])
@pytest.mark.parametrize("norm", ["batch", "none"])
@pytest.mark.parametrize(("channels", "size", "widths"), [(1, 16, [4, 8]), (3, 32, [2, 3, 4, 5])])
def test_images_come_back_in_their_shape_and_range(
    model_config, kernel, upsampling, head, norm, channels, size, widths
) -> None:
    config = model_config(kernel=kernel, upsampling=upsampling, head=head, norm=norm, widths=widths)
    vae = VAE(config, channels, size)
    images = torch.rand(6, channels, size, size)
    reconstructions, posterior = vae(images, torch.randn(6, config.latent_dim))
    assert reconstructions.shape == images.shape
    assert posterior.mean.shape == posterior.log_var.shape == (6, config.latent_dim)
    assert reconstructions.min() >= 0 and reconstructions.max() <= 1


@pytest.mark.parametrize("activation", ["leaky_relu", "relu", "silu", "tanh"])
def test_every_weight_gets_a_gradient(model_config, activation) -> None:
    vae = VAE(model_config(activation=activation), 1, 16)
    images, noise = torch.rand(8, 1, 16, 16), torch.randn(8, 4)
    reconstructions, posterior = vae(images, noise)
    ((reconstructions - images).square().sum() + posterior.log_var.square().sum()).backward()
    for name, weight in vae.named_parameters():
        assert weight.grad is not None and weight.grad.abs().sum() > 0, name


def test_the_first_system_has_the_published_layers(model_config) -> None:
    config = model_config(latent_dim=200, widths=[128] * 4, kernel=3, head="conv")
    vae = VAE(config, 3, 64)
    convolutions = [m for m in vae.encoder.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.kernel_size) for c in convolutions] == [
        (3, 128, (3, 3)), *[(128, 128, (3, 3))] * 3,
    ]  # fmt: skip
    assert vae.encoder.mean.in_features == 128 * 4 * 4
    transposed = [m for m in vae.decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert len(transposed) == 4
    assert isinstance(vae.decoder.head, nn.Conv2d)


@pytest.mark.parametrize(
    ("upsampling", "kernel", "even"),
    [("nearest", 3, True), ("nearest", 4, True), ("transposed", 4, True), ("transposed", 3, False)],
)
def test_which_upsampling_treats_all_pixels_alike(
    model_config, upsampling: str, kernel: int, even: bool
) -> None:
    """Weights of 1 on a constant image: how many weights reach each pixel away from the border."""
    layer = upsample(model_config(upsampling=upsampling, kernel=kernel), 2, 1, bias=False)
    for weight in layer.parameters():
        nn.init.ones_(weight)
    image = layer(torch.ones(1, 2, 8, 8))
    assert image.shape == (1, 1, 16, 16)
    inside = image[0, 0, 2:-2, 2:-2]
    assert (inside.max() == inside.min()) == even


def test_widths_scale(model_config) -> None:
    assert model_config(widths=[128, 256], width_scale=0.25).channels == [32, 64]
    assert model_config(widths=[1, 2], width_scale=0.01).channels == [1, 1]


def test_the_log_variance_is_clamped(model_config) -> None:
    vae = VAE(model_config(log_var_clamp=[-20.0, 2.0]), 1, 16).eval()
    for bias, clamped in ((100.0, 2.0), (-100.0, -20.0)):
        nn.init.constant_(vae.encoder.log_var.bias, bias)
        log_var = vae.encoder(torch.rand(2, 1, 16, 16)).log_var
        assert log_var.min() == log_var.max() == clamped


def test_a_posterior_draw_has_the_posteriors_moments() -> None:
    posterior = Posterior(torch.full((100_000, 1), 3.0), torch.full((100_000, 1), 4.0).log())
    draw = posterior.sample(torch.randn(100_000, 1, generator=torch.Generator().manual_seed(0)))
    assert draw.mean() == pytest.approx(3, abs=0.03)
    assert draw.var() == pytest.approx(4, rel=0.02)


def test_kaiming_keeps_the_variance_through_a_deep_stack(model_config) -> None:
    config = model_config(norm="none", init="kaiming", negative_slope=0.2)
    torch.manual_seed(0)
    stack = nn.Sequential(*(m for _ in range(10) for m in (nn.Linear(512, 512), nn.LeakyReLU(0.2))))
    before = stack(torch.randn(256, 512)).square().mean()
    initialise(config, [stack], [])
    after = stack(torch.randn(256, 512)).square().mean()
    assert 0.5 < after < 2.0
    assert before < 0.05, "PyTorch's own initialisation shrinks it"


def test_an_odd_size_is_refused(model_config) -> None:
    with pytest.raises(ValueError, match="multiple of 4"):
        VAE(model_config(), 1, 18)
