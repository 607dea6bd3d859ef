"""What is saved comes back, and nothing on disk can run code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from sharpvae.errors import UserError
from sharpvae.networks.storage import load_vae, save_vae
from sharpvae.networks.vae import VAE
from sharpvae.networks.vgg import VGGFeatures

CPU = torch.device("cpu")


def test_a_vae_comes_back_bit_for_bit(tmp_path: Path, model_config) -> None:
    vae = VAE(model_config(), 3, 16).eval()
    save_vae(tmp_path, vae, model_config(), 3, 16)
    again = load_vae(tmp_path, CPU)
    images, noise = torch.rand(2, 3, 16, 16), torch.randn(2, 4)
    assert torch.equal(vae(images, noise)[0], again(images, noise)[0])


def test_a_conditional_vae_comes_back_with_its_classes(tmp_path: Path, model_config) -> None:
    config = model_config(conditional=True)
    vae = VAE(config, 1, 16, classes=5).eval()
    save_vae(tmp_path, vae, config, 1, 16)
    again = load_vae(tmp_path, CPU)
    assert again.classes == 5
    latents, labels = torch.randn(2, 4), torch.tensor([0, 4])
    assert torch.equal(vae.decoder(latents, labels), again.decoder(latents, labels))


def test_the_bytes_depend_on_the_values_alone(tmp_path: Path, model_config) -> None:
    vae = VAE(model_config(), 1, 16)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_vae(tmp_path / name, vae, model_config(), 1, 16)
    first, second = (tmp_path / name / "weights.safetensors" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("damage", [b"", b"junk", None])
def test_damaged_weights_name_the_file(tmp_path: Path, model_config, damage) -> None:
    save_vae(tmp_path, VAE(model_config(), 1, 16), model_config(), 1, 16)
    weights = tmp_path / "weights.safetensors"
    weights.unlink() if damage is None else weights.write_bytes(damage)
    with pytest.raises(UserError, match=r"weights\.safetensors"):
        load_vae(tmp_path, CPU)


def test_weights_of_another_shape_are_refused(tmp_path: Path, model_config) -> None:
    save_vae(tmp_path, VAE(model_config(), 1, 16), model_config(latent_dim=5), 1, 16)
    with pytest.raises(UserError, match="weights of a VAE"):
        load_vae(tmp_path, CPU)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code ran while weights were loaded')",)


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict of the published format with random values."""
    from torchvision.models import vgg16

    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    state = {k: v for k, v in vgg16(weights=None).state_dict().items() if "features" in k}
    torch.save(state, path)
    return path


def test_vgg_gives_the_maps_of_the_chosen_layers(vgg_file: Path) -> None:
    network = VGGFeatures("vgg16", vgg_file, None)
    shapes = [tuple(layer.shape) for layer in network(torch.rand(2, 1, 32, 32))]
    assert shapes == [(2, 64, 32, 32), (2, 128, 16, 16), (2, 256, 8, 8)]


def test_vgg_maps_are_not_overwritten_by_later_layers(vgg_file: Path) -> None:
    images = torch.rand(1, 3, 16, 16)
    convolution = VGGFeatures("vgg16", vgg_file, [0])(images)[0]
    both = VGGFeatures("vgg16", vgg_file, [0, 1])(images)
    assert torch.equal(both[0], convolution)
    assert torch.equal(both[1], convolution.relu())


@pytest.mark.parametrize("content", ["missing", "pickle", "text", "other"])
def test_vgg_refuses_what_is_no_state_dict(tmp_path: Path, content: str) -> None:
    path = tmp_path / "vgg16.pth"
    if content == "pickle":
        path.write_bytes(pickle.dumps(_Bomb(), protocol=2))
    elif content == "text":
        path.write_text("<html>not found</html>")
    elif content == "other":
        torch.save({"features.0.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"loss\.perceptual\.network: critic"):
        VGGFeatures("vgg16", path, None)


def test_vgg_refuses_a_layer_it_does_not_have(vgg_file: Path) -> None:
    with pytest.raises(UserError, match=r"loss\.perceptual\.layers"):
        VGGFeatures("vgg16", vgg_file, [99])
