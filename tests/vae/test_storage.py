"""What is saved comes back, and nothing on disk can run code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.vae.vae import VAE, load_vae, save_vae

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
    with pytest.raises(UserError, match=r"network\.json describes: encoder\.mean"):
        load_vae(tmp_path, CPU)


def test_a_network_is_as_large_as_its_weights_before_it_takes_up_memory(
    tmp_path: Path, model_config
) -> None:
    """A digit more in network.json, and loading it took all memory there was."""
    save_vae(tmp_path, VAE(model_config(), 1, 16), model_config(widths=[900_000] * 2), 1, 16)
    with pytest.raises(UserError, match=r"of shape \[900000, 1, "):
        load_vae(tmp_path, CPU)


@pytest.mark.parametrize("text", ["{}", "[]", "3", '{"model": {}}', "[" * 99_999])
def test_a_description_of_another_kind_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "network.json").write_text(text)
    with pytest.raises(UserError, match=r"network\.json"):
        load_vae(tmp_path, CPU)


def test_a_slope_that_no_first_weights_can_have_is_told(tmp_path: Path, model_config) -> None:
    """Their deviation overflows."""
    save_vae(tmp_path, VAE(model_config(), 1, 16), model_config(negative_slope=1e308), 1, 16)
    with pytest.raises(UserError, match=r"network\.json"):
        load_vae(tmp_path, CPU)
