"""Feature maps of torchvision's networks, and LPIPS on them, from files in the published format."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.perception.distances import (
    LAYERS,
    ImageNetFeatures,
    NormalisedDistance,
    channel_weights,
)
from sharpvae.perception.pretrained import LPIPS_TRUNKS
from tests.published_weights import save_published


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code ran while weights were loaded')",)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random weights of AlexNet and VGG-16 in the published format."""
    folder = tmp_path_factory.mktemp("published")
    return {name: save_published(name, folder / f"{name}.pth") for name in ("alexnet", "vgg16")}


@pytest.fixture(scope="module")
def vgg_file(published: dict[str, Path]) -> Path:
    return published["vgg16"]


def test_vgg_gives_the_maps_of_the_chosen_layers(vgg_file: Path) -> None:
    network = ImageNetFeatures("vgg16", vgg_file, None)
    shapes = [tuple(layer.shape) for layer in network(torch.rand(2, 1, 32, 32))]
    assert shapes == [(2, 64, 32, 32), (2, 128, 16, 16), (2, 256, 8, 8)]


def test_vgg_maps_are_not_overwritten_by_later_layers(vgg_file: Path) -> None:
    images = torch.rand(1, 3, 16, 16)
    convolution = ImageNetFeatures("vgg16", vgg_file, [0])(images)[0]
    both = ImageNetFeatures("vgg16", vgg_file, [0, 1])(images)
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
    with pytest.raises(UserError, match="sharpvae weights vgg16"):
        ImageNetFeatures("vgg16", path, None)


def test_vgg_refuses_a_layer_it_does_not_have(vgg_file: Path) -> None:
    with pytest.raises(UserError, match=r"loss\.perceptual\.layers"):
        ImageNetFeatures("vgg16", vgg_file, [99])


def test_building_a_network_draws_nothing(vgg_file: Path) -> None:
    before = torch.get_rng_state()
    ImageNetFeatures("vgg16", vgg_file, None)
    assert torch.equal(torch.get_rng_state(), before)


def test_images_are_brought_to_the_size_asked_for(vgg_file: Path) -> None:
    network = ImageNetFeatures("vgg16", vgg_file, [0, 4], resize=40)
    shapes = [tuple(layer.shape[2:]) for layer in network(torch.rand(1, 1, 16, 16))]
    assert shapes == [(40, 40), (20, 20)]
    flat = torch.full((1, 3, 16, 16), 0.3)
    plain = ImageNetFeatures("vgg16", vgg_file, [0, 4])(torch.full((1, 3, 40, 40), 0.3))
    for resized, whole in zip(network(flat), plain, strict=True):
        assert torch.allclose(resized, whole, atol=1e-5)


def test_the_input_is_normalised_as_torchvision_does(vgg_file: Path) -> None:
    """Against the transform that comes with the published weights."""
    from torchvision.models import VGG16_Weights

    transform = VGG16_Weights.IMAGENET1K_V1.transforms()
    network = ImageNetFeatures("vgg16", vgg_file, [0])
    assert tuple(network.mean.flatten().tolist()) == pytest.approx(transform.mean)
    assert tuple(network.std.flatten().tolist()) == pytest.approx(transform.std)


def lpips_of(network: str, published: dict[str, Path]) -> NormalisedDistance:
    trunk = LPIPS_TRUNKS[network]
    maps = ImageNetFeatures(trunk, published[trunk], LAYERS[network])
    return NormalisedDistance(maps, channel_weights(network))


def package(network: str, published: dict[str, Path]) -> torch.nn.Module:
    """The lpips package's own network, with the trunk of the published file."""
    import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it builds the trunk in a way torchvision gives up
        oracle = lpips.LPIPS(net=network, pnet_rand=True, verbose=False)
    state = torch.load(published[LPIPS_TRUNKS[network]], weights_only=True)
    for name in list(oracle.net.state_dict()):
        _, position, kind = name.split(".")
        oracle.net.get_parameter(name).data = state[f"features.{position}.{kind}"]
    return oracle


@pytest.mark.parametrize("network", ["alex", "vgg"])
@pytest.mark.parametrize("channels", [1, 3])
def test_lpips_is_that_of_the_package_times_the_pixels(
    published: dict[str, Path], network: str, channels: int
) -> None:
    a, b = torch.rand(2, 3, channels, 48, 48, generator=torch.Generator().manual_seed(1)).unbind()
    with torch.no_grad():
        expected = package(network, published)(
            a.expand(-1, 3, -1, -1), b.expand(-1, 3, -1, -1), normalize=True
        )
        distance = lpips_of(network, published)(a, b)
    assert expected.min() > 0
    assert torch.allclose(distance, expected.flatten() * channels * 48 * 48, rtol=1e-4)


def test_lpips_moves_the_reconstruction_and_nothing_else(published: dict[str, Path]) -> None:
    distance = lpips_of("alex", published)
    distance.train()
    images = torch.rand(3, 1, 32, 32)
    reconstructions = torch.rand(3, 1, 32, 32, requires_grad=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        term = distance(images, reconstructions)
    assert term.shape == (3,)
    term[1].backward()
    moved = reconstructions.grad.flatten(1).abs().sum(1)
    assert moved[1] > 0
    assert moved[0] == moved[2] == 0
    assert not any(weight.requires_grad for weight in distance.parameters())
    assert len(list(distance.parameters())) == 10 + 5, "trunk and heads go to the device with it"


def test_the_gradient_of_lpips_is_that_of_finite_differences(published: dict[str, Path]) -> None:
    distance = lpips_of("alex", published).double()
    random = torch.Generator().manual_seed(2)
    image, start, direction = torch.rand(
        3, 1, 1, 32, 32, generator=random, dtype=torch.float64
    ).unbind()
    start.requires_grad_(True)
    distance(image, start).sum().backward()
    slope = float((start.grad * direction).sum())
    step = 1e-7
    with torch.no_grad():
        ahead, behind = (distance(image, start + s * direction) for s in (step, -step))
    assert slope != 0
    assert float(ahead - behind) / (2 * step) == pytest.approx(slope, rel=1e-4)


def test_the_packages_weights_are_none_below_zero() -> None:
    for network, layers in LAYERS.items():
        weights = channel_weights(network)
        assert len(weights) == len(layers)
        assert all(vector.ndim == 1 and vector.min() >= 0 for vector in weights)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharpvae.perception.distances.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"loss\.lpips"):
        channel_weights("alex")
