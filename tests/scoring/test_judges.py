"""Features by hand and against other libraries, and weights that never run code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import correlate1d
from torch.utils.data import Dataset
from torch_fidelity import FeatureExtractorBase, calculate_metrics, register_feature_extractor

from sharpvae.core.errors import UserError
from sharpvae.perception.fidelity import fid, kid
from sharpvae.scoring.judges import (
    ImageNetJudge,
    InceptionJudge,
    LearnedJudge,
    PixelJudge,
    RandomJudge,
    load_learned,
    moments,
    save_learned,
)
from sharpvae.scoring.panel import extract

CPU = torch.device("cpu")


def images(seed: int, count: int = 40, channels: int = 1, size: int = 16) -> np.ndarray:
    shape = (count, size, size, channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def tensor(packed: np.ndarray) -> torch.Tensor:
    """uint8 (N, H, W, C) => (N, C, H, W)"""
    return torch.from_numpy(packed).permute(0, 3, 1, 2)


@pytest.fixture(scope="module")
def imagenet() -> ImageNetJudge:
    return ImageNetJudge()


@pytest.fixture
def learned() -> LearnedJudge:
    torch.manual_seed(0)
    return LearnedJudge(1, 4, [4, 6]).eval()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 28, 33])
def test_features_have_one_size_whatever_the_images(
    imagenet: ImageNetJudge, channels: int, size: int
) -> None:
    batch = tensor(images(0, 2, channels, size))
    sizes = {
        imagenet: 864, RandomJudge(channels): 224, PixelJudge(): 64 * channels,
        LearnedJudge(channels, 3, [4, 6]): 20,
    }  # fmt: skip
    for judge, count in sizes.items():
        with torch.inference_mode():
            found = judge.features(batch)
        assert found.shape == (2, count) and found.dtype == torch.float32
        assert found.isfinite().all()


def test_moments_are_means_and_deviations_over_space() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    array = maps.numpy().astype(float)
    expected = np.concatenate([array.mean((2, 3)), array.std((2, 3))], 1)
    assert moments(maps).numpy() == pytest.approx(expected, abs=1e-6)
    assert moments(torch.ones(1, 2, 3, 3)).tolist() == [[1, 1, 0, 0]]


def test_imagenet_sees_grey_as_three_equal_channels(imagenet: ImageNetJudge) -> None:
    grey = tensor(images(0, 3))
    one, three = imagenet.features(grey), imagenet.features(grey.repeat(1, 3, 1, 1))
    assert torch.allclose(one, three, atol=1e-5)


def test_imagenet_enlarges_small_images_alone(imagenet: ImageNetJudge) -> None:
    small, large = tensor(images(0, 2)), tensor(images(1, 2, size=64))
    enlarged = F.interpolate(small.float(), (64, 64), mode="bilinear")
    maps = imagenet.network(enlarged)
    assert torch.allclose(imagenet.features(small)[:, :16], maps[0].mean((2, 3)), atol=1e-4)
    maps = imagenet.network(large.float())
    expected = torch.cat([*map(moments, maps[:-1]), maps[-1].mean((2, 3))], 1)
    assert torch.allclose(imagenet.features(large), expected, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_random_filters_do_not_see_brightness(channels: int) -> None:
    """In no pixel: the first convolution has no border."""
    judge = RandomJudge(channels)
    dark = tensor(images(0, 3, channels)) // 2
    assert torch.allclose(judge.features(dark), judge.features(dark + 100), atol=1e-4)
    flat = torch.full((1, channels, 16, 16), 200, dtype=torch.uint8)
    assert judge.features(flat).abs().max() < 1e-4
    noisy = flat + tensor(images(1, 1, channels)) % 8
    assert judge.features(noisy).abs().max() > 1e-2, "faint noise moves them"


def test_fixed_judges_owe_nothing_to_the_global_seed() -> None:
    batch = tensor(images(0, 2))
    for build in (lambda: RandomJudge(1), PixelJudge):
        found = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            found.append(build().features(batch))
        assert torch.equal(*found)


def test_a_constant_image_has_no_energy_in_any_band() -> None:
    flat = torch.full((1, 1, 32, 32), 51, dtype=torch.uint8)
    found = PixelJudge().features(flat)[0]
    assert found[:48].tolist() == pytest.approx([1e-4] * 48, rel=1e-3), "the root of 1e-8"
    assert found[48:].tolist() == pytest.approx([0.2] * 16)


def test_bands_are_those_of_a_pyramid_by_scipy() -> None:
    packed = images(0, 2, 3, 32)
    found = PixelJudge().features(tensor(packed)).reshape(2, 4, 3, 4, 4).numpy()
    kernel = np.array([1, 4, 6, 4, 1]) / 16
    level = packed.transpose(0, 3, 1, 2) / 255
    for band in range(3):
        smooth = level
        for axis in (2, 3):
            smooth = correlate1d(smooth, kernel, axis=axis, mode="mirror")
        side = level.shape[2] // 4
        square = ((level - smooth) ** 2).reshape(2, 3, 4, side, 4, side)
        expected = np.sqrt(square.mean((3, 5)) + 1e-8)
        assert found[:, band] == pytest.approx(expected, abs=1e-5)
        level = smooth[:, :, ::2, ::2]
    assert found[:, 3] == pytest.approx(level, abs=1e-5), "a last level of 4x4 is all its means"


def test_a_learned_judge_is_read_as_it_was_written(tmp_path: Path, learned: LearnedJudge) -> None:
    save_learned(tmp_path, learned, {"image_channels": 1, "classes": 4, "widths": [4, 6]})
    batch = tensor(images(0, 3))
    assert torch.equal(load_learned(tmp_path).features(batch), learned.features(batch))
    with torch.no_grad():
        maps = learned.classifier.features(batch.float() / 255)
    assert torch.allclose(learned.features(batch), torch.cat([*map(moments, maps)], 1))


class _Images(Dataset):  # type: ignore[type-arg]
    def __init__(self, seed: int) -> None:
        self.images = tensor(images(seed)).repeat(1, 3, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


class _Extractor(FeatureExtractorBase):  # type: ignore[misc]
    """A judge behind torch-fidelity's interface, which hands it three channels."""

    def __init__(self, name: str, features_list: list[str], **given: str) -> None:
        super().__init__(name, features_list)
        self.judge = load_learned(Path(given["feature_extractor_weights_path"]))

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        return ("moments",)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        return "moments"

    @staticmethod
    def can_be_compiled() -> bool:
        return False

    @torch.no_grad()
    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.judge.features(batch[:, :1]),)


def test_scores_are_those_of_torch_fidelitys_own_pipeline(
    tmp_path: Path, learned: LearnedJudge
) -> None:
    save_learned(tmp_path, learned, {"image_channels": 1, "classes": 4, "widths": [4, 6]})
    register_feature_extractor("a-judge", _Extractor)
    real, fake = (extract(learned, images(seed), 16, CPU) for seed in (1, 2))
    expected = calculate_metrics(
        input1=_Images(1), input2=_Images(2), fid=True, kid=True, cuda=False, verbose=False,
        cache=False, save_cpu_ram=True, feature_extractor="a-judge",
        feature_extractor_weights_path=str(tmp_path), kid_subsets=5, kid_subset_size=20,
    )  # fmt: skip
    assert fid(real, fake) == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    mean = expected["kernel_inception_distance_mean"]
    assert kid(real, fake, 5, 20) == pytest.approx(mean, rel=1e-3, abs=1e-6)


def test_inception_weights_are_published_ones_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    with pytest.raises(UserError, match=r"metrics\.weights"):
        InceptionJudge(str(path))
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"InceptionV3 weights"):
        InceptionJudge(str(path))


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code ran while weights were loaded')",)


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps(_Bomb(), protocol=2)])
def test_a_file_that_is_no_weights_is_refused_unrun(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inception.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="InceptionV3 weights"):
        InceptionJudge(str(path))


def test_absent_inception_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match="sharpvae weights inception") as caught:
        InceptionJudge(None)
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)
    assert "set metrics.features: panel" in str(caught.value)


def test_inception_gives_its_2048_features(tmp_path: Path) -> None:
    """Random weights in the published format; the real ones are beyond a test's reach."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    blank = FeatureExtractorInceptionV3.__new__(FeatureExtractorInceptionV3)
    path, state = tmp_path / "inception.pth", {}
    monkey = torch.load
    try:  # a first construction asks for weights; hand it whatever it has itself
        torch.load = lambda *_, **__: state  # type: ignore[assignment]
        original = torch.nn.Module.load_state_dict
        torch.nn.Module.load_state_dict = lambda self, *_, **__: None  # type: ignore[assignment]
        blank.__init__("x", ["2048"], str(path))
    finally:
        torch.load = monkey
        torch.nn.Module.load_state_dict = original
    torch.save(blank.state_dict(), path)
    assert extract(InceptionJudge(str(path)), images(0, 2), 2, CPU).shape == (2, 2048)
