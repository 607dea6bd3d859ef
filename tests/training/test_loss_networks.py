"""The networks of a loss, built as configured from files in the published format."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.core.weights import save_weights
from sharpvae.perception.critic import Critic, CriticFeatures
from sharpvae.perception.distances import NormalisedDistance, PerceptualDistance, feature_variances
from sharpvae.training.build import lpips_distance, perceptual_distance
from tests.published_weights import save_published

IMAGES = torch.rand(8, 1, 32, 32, generator=torch.Generator().manual_seed(0))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("published")
    names = ("alexnet", "vgg16", "vgg19")
    return {name: str(save_published(name, folder / f"{name}.pth")) for name in names}


@pytest.fixture
def critic(tmp_path: Path) -> Path:
    """What the stage `critic` leaves."""
    made = Critic(1, 10, [4, 8])
    save_weights(tmp_path / "critic.safetensors", made)
    write_json(
        tmp_path / "critic.json",
        {"image_channels": 1, "classes": 10, "widths": [4, 8], "feature_variances": [2.0, 3.0]},
    )
    return tmp_path


def section(**changes: object) -> dict[str, object]:
    default = {"network": "critic", "weights": None, "layers": None, "resize": None,
               "distance": "relative"}  # fmt: skip
    return {**default, **changes}


def test_a_weight_of_zero_needs_no_network(loss_config, tmp_path: Path) -> None:
    assert perceptual_distance(loss_config(), tmp_path, IMAGES) is None
    assert lpips_distance(loss_config(), CPU) is None


@pytest.mark.parametrize("distance", ["relative", "normalised"])
def test_the_critic_and_the_variances_beside_it(loss_config, critic: Path, distance: str) -> None:
    loss = loss_config(weights={"perceptual": 1.0}, perceptual=section(distance=distance))
    made = perceptual_distance(loss, critic, IMAGES)
    assert isinstance(made, PerceptualDistance if distance == "relative" else NormalisedDistance)
    assert isinstance(made.network, CriticFeatures)
    if distance == "relative":
        assert made.variances == [2.0, 3.0]


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
@pytest.mark.parametrize("distance", ["relative", "normalised"])
def test_vgg_as_configured_moves_the_reconstruction(
    loss_config, files: dict[str, str], name: str, distance: str, tmp_path: Path
) -> None:
    chosen = section(network=name, weights=files[name], layers=[8, 3], resize=24, distance=distance)
    loss = loss_config(weights={"perceptual": 1.0}, perceptual=chosen)
    made = perceptual_distance(loss, tmp_path, IMAGES)
    assert [layer.shape[-1] for layer in made.network(IMAGES)] == [24, 12]
    if distance == "relative":
        assert made.variances == feature_variances(made.network, IMAGES)
    other = IMAGES.flip(0).clone().requires_grad_(True)
    term = made(IMAGES, other)
    assert term.shape == (8,)
    term.sum().backward()
    assert (other.grad.flatten(1).abs().sum(1) > 0).all()


@pytest.mark.parametrize(("network", "trunk"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_lpips_as_configured(loss_config, files: dict[str, str], network: str, trunk: str) -> None:
    chosen = {"network": network, "weights": files[trunk]}
    made = lpips_distance(loss_config(weights={"lpips": 1.0}, lpips=chosen), CPU)
    assert made is not None
    assert made(IMAGES, IMAGES.flip(0)).min() > 0
    assert made(IMAGES, IMAGES).abs().max() == 0


def test_weights_of_another_network_are_refused(loss_config, files: dict[str, str]) -> None:
    chosen = {"network": "alex", "weights": files["vgg16"]}
    with pytest.raises(UserError, match=r"sharpvae weights alexnet.*loss\.lpips\.weights"):
        lpips_distance(loss_config(weights={"lpips": 1.0}, lpips=chosen), CPU)


def test_weights_that_went_missing_are_told_of_here_too(
    loss_config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    loss = loss_config(
        weights={"lpips": 1.0, "perceptual": 1.0}, perceptual=section(network="vgg19")
    )
    with pytest.raises(UserError, match="vgg19-dcbb9e9d"):
        perceptual_distance(loss, tmp_path, IMAGES)
    with pytest.raises(UserError, match="alexnet-owt-7be5be79"):
        lpips_distance(loss, CPU)
