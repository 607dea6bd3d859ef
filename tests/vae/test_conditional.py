"""The class label reaches encoder and decoder, and only where it is asked for."""

from __future__ import annotations

import pytest
import torch

from sharpvae.vae.vae import VAE, one_hot

LABELS = torch.tensor([0, 1, 2, 2])


@pytest.fixture
def vae(model_config) -> VAE:
    return VAE(model_config(conditional=True), 3, 16, classes=3).eval()


def test_the_label_changes_posterior_and_image(vae: VAE) -> None:
    image, latent = torch.rand(1, 3, 16, 16).expand(4, -1, -1, -1), torch.randn(1, 4).expand(4, -1)
    for outcome in (vae.encoder(image, LABELS).mean, vae.decoder(latent, LABELS)):
        assert torch.allclose(outcome[2], outcome[3])
        for a, b in ((0, 1), (0, 2), (1, 2)):
            assert not torch.allclose(outcome[a], outcome[b])


def test_the_label_reaches_the_encoder_as_maps_behind_the_image(vae: VAE) -> None:
    image = torch.rand(4, 3, 16, 16)
    maps = torch.zeros(4, 3, 16, 16)
    for row, label in enumerate(LABELS):
        maps[row, label] = 1
    features = vae.encoder.body(torch.cat([image, maps], 1))
    assert torch.equal(vae.encoder(image, LABELS).mean, vae.encoder.mean(features))


def test_one_hot_is_the_identity_matrix_on_all_classes() -> None:
    assert torch.equal(one_hot(torch.arange(5), 5), torch.eye(5))


def test_an_image_passes_with_its_label(vae: VAE) -> None:
    images, noise = torch.rand(4, 3, 16, 16), torch.randn(4, 4)
    reconstructions, posterior = vae(images, noise, LABELS)
    z = vae.encoder(images, LABELS).sample(noise)
    assert torch.equal(reconstructions, vae.decoder(z, LABELS))
    assert posterior.mean.shape == (4, 4)


def test_an_unconditional_vae_ignores_labels(model_config) -> None:
    vae = VAE(model_config(), 1, 16, classes=3).eval()
    assert vae.classes == 0
    images, noise = torch.rand(4, 1, 16, 16), torch.randn(4, 4)
    assert torch.equal(vae(images, noise, LABELS)[0], vae(images, noise)[0])


def test_a_conditional_vae_asks_for_labels_and_classes(vae: VAE, model_config) -> None:
    assert vae.classes == 3
    for call in (
        lambda: vae.encoder(torch.rand(1, 3, 16, 16)),
        lambda: vae.decoder(torch.rand(1, 4)),
    ):
        with pytest.raises(ValueError, match="labels"):
            call()
    for classes in (0, 1):
        with pytest.raises(ValueError, match="two classes"):
            VAE(model_config(conditional=True), 3, 16, classes)
