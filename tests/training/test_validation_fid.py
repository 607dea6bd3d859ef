"""The FID that chooses among epochs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.core.files import write_json
from sharpvae.core.seeds import global_seed
from sharpvae.core.weights import save_weights
from sharpvae.perception.critic import Critic
from sharpvae.perception.fidelity import fid
from sharpvae.training.validate import ValidationFID, features
from sharpvae.vae.draw import from_prior
from sharpvae.vae.vae import VAE
from tests.feeds import feed_of

COUNT = 60


@pytest.fixture
def critic(tmp_path: Path) -> Path:
    with global_seed(0, "critic"):
        network = Critic(1, 2, [4, 8])
    save_weights(tmp_path / "critic.safetensors", network)
    write_json(tmp_path / "critic.json", {
        "image_channels": 1, "classes": 2, "widths": [4, 8], "feature_variances": [1.0, 1.0],
    })  # fmt: skip
    return tmp_path


@pytest.fixture
def vae(model_config) -> VAE:
    with global_seed(0, "weights"):
        return VAE(model_config(), 1, 16).eval()


def images(seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (COUNT, 1, 16, 16), generator=random, dtype=torch.uint8)


@pytest.mark.parametrize("batch_size", [7, 60, 1000])
def test_it_is_the_fid_of_the_samples_in_the_features_of_the_critic(
    critic: Path, vae: VAE, batch_size: int
) -> None:
    score = ValidationFID(critic, feed_of(images(0)), batch_size, seed=3)
    drawn = torch.from_numpy(from_prior(vae, COUNT, COUNT, 3)).permute(0, 3, 1, 2)
    sets = [features(score.critic, pixels.float() / 255) for pixels in (images(0), drawn)]
    assert sets[0].shape == (COUNT, 12)
    assert score(vae) == pytest.approx(fid(*sets), rel=1e-3)
    assert score(vae) == score(vae), "the same samples each time"


def test_samples_that_are_the_images_score_zero(critic: Path, vae: VAE, monkeypatch) -> None:
    reals = images(0)
    packed = reals.permute(0, 2, 3, 1).numpy()
    score = ValidationFID(critic, feed_of(reals), 16, seed=0)
    monkeypatch.setattr(
        "sharpvae.training.validate.from_prior", lambda *_: np.ascontiguousarray(packed)
    )
    assert score(vae) == pytest.approx(0, abs=1e-6)


def test_a_conditional_vae_is_asked_for_the_classes_of_the_images(
    critic: Path, model_config
) -> None:
    conditional = VAE(model_config(conditional=True), 1, 16, classes=2).eval()
    labels = torch.zeros(COUNT, dtype=torch.int64)
    labels[0] = 1
    score = ValidationFID(critic, feed_of(images(0), labels), 16, seed=0)
    assert score.asked is not None and len(score.asked) == COUNT
    assert np.isfinite(score(conditional))


def test_a_single_image_has_no_covariance(critic: Path) -> None:
    with pytest.raises(UserError, match=r"data\.validation_fraction"):
        ValidationFID(critic, feed_of(images(0)[:1]), 16, seed=0)
