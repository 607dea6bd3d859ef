"""The judge as torch-fidelity's extractor, and weights that never run code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset
from torch_fidelity import calculate_metrics

from sharpvae.core.errors import UserError
from sharpvae.perception.fidelity import fid, kid
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.judge import NAME, Judge, extract, load_extractor, load_judge, save_judge

CPU = torch.device("cpu")
METRICS = MetricsConfig(
    features="judge", weights=None, batch_size=16, kid_subsets=5, kid_subset_size=20,
    active_threshold=0.01,
)  # fmt: skip


@pytest.fixture
def reference(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    shape = {"image_channels": 1, "classes": 4, "widths": [4, 6]}
    save_judge(tmp_path, Judge(1, 4, [4, 6]), shape)
    return tmp_path


def images(seed: int, count: int = 40) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 16, 16, 1), dtype=np.uint8)


def test_features_are_the_pooled_blocks_whatever_the_batch(reference: Path) -> None:
    extractor = load_extractor(METRICS, reference, CPU)
    found = extract(extractor, images(0), 16, CPU)
    assert found.shape == (40, 10)
    assert found.dtype == np.float64
    assert np.allclose(found, extract(extractor, images(0), 7, CPU), atol=1e-6)
    batch = torch.from_numpy(images(0)).permute(0, 3, 1, 2).float() / 255
    expected = torch.cat(load_judge(reference).pooled(batch), 1).detach().numpy()
    assert np.allclose(found, expected, atol=1e-6)


class _Images(Dataset):  # type: ignore[type-arg]
    def __init__(self, seed: int) -> None:
        self.images = torch.from_numpy(images(seed)).permute(0, 3, 1, 2).repeat(1, 3, 1, 1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> torch.Tensor:
        return self.images[index]


def test_scores_are_those_of_torch_fidelitys_own_pipeline(reference: Path) -> None:
    extractor = load_extractor(METRICS, reference, CPU)
    real, fake = (extract(extractor, images(seed), 16, CPU) for seed in (1, 2))
    expected = calculate_metrics(
        input1=_Images(1), input2=_Images(2), fid=True, kid=True, cuda=False, verbose=False,
        cache=False, save_cpu_ram=True, feature_extractor=NAME,
        feature_extractor_weights_path=str(reference), kid_subsets=5, kid_subset_size=20,
    )  # fmt: skip
    assert fid(real, fake) == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    mean = expected["kernel_inception_distance_mean"]
    assert kid(real, fake, 5, 20) == pytest.approx(mean, rel=1e-3, abs=1e-6)


def inception(weights: Path | None) -> MetricsConfig:
    path = None if weights is None else str(weights)
    return METRICS.model_copy(update={"features": "inception", "weights": path})


def test_inception_weights_are_published_ones_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "inception.pth"
    with pytest.raises(UserError, match=r"metrics\.weights"):
        load_extractor(inception(path), tmp_path, CPU)
    torch.save({"fc.weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"InceptionV3 weights"):
        load_extractor(inception(path), tmp_path, CPU)


class _Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("raise SystemExit('code ran while weights were loaded')",)


@pytest.mark.parametrize("content", [b"", b"<html>", pickle.dumps(_Bomb(), protocol=2)])
def test_a_file_that_is_no_weights_is_refused_unrun(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "inception.pth"
    path.write_bytes(content)
    with pytest.raises(UserError, match="weights and nothing else"):
        load_extractor(inception(path), tmp_path, CPU)


def test_absent_inception_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"python -m apps\.weights inception") as caught:
        load_extractor(inception(None), tmp_path, CPU)
    assert str(tmp_path / "hub" / "checkpoints") in str(caught.value)


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
    extractor = load_extractor(inception(path), tmp_path, CPU)
    assert extract(extractor, images(0, 2), 2, CPU).shape == (2, 2048)
