"""Fitted priors come back as they were, for their own VAE alone, and run no code."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.core.seeds import generator, global_seed
from sharpvae.sampling.codes import Codes
from sharpvae.sampling.config import MixtureConfig
from sharpvae.sampling.flow import Flow, Velocity
from sharpvae.sampling.mixture import fit_mixture
from sharpvae.sampling.stored import Priors, load_priors, save_priors
from sharpvae.vae.vae import VAE

MIXTURE = MixtureConfig.model_validate(
    {"components": [2], "draws": 200, "signal": 0.1, "axes": 2, "iterations": 9}
)


def priors(classes: int = 0, learned: bool = True) -> Priors:
    """A mixture of 2, and a flow over 2 of 4 axes, which is one Gaussian unless `learned`."""
    means = np.random.default_rng(0).normal(size=(60, 4)) * [3, 2, 1, 0.5]
    codes = Codes(means, np.full(means.shape, 0.5), None)
    mixture, _ = fit_mixture(codes, codes, MIXTURE, 0)
    with global_seed(0, "test"):
        velocity = Velocity(2, classes, 16).requires_grad_(False) if learned else None
    names = [f"class {index}" for index in range(classes)] or None
    return Priors(mixture, Flow(mixture.axes, 2, velocity), "flow", names)


@pytest.fixture
def vae(model_config) -> VAE:
    return VAE(model_config(), 1, 16).eval()


@pytest.mark.parametrize("classes", [0, 3])
def test_both_densities_draw_and_weigh_as_before(
    tmp_path: Path, model_config, classes: int
) -> None:
    """To within rounding: a product sums otherwise where its factor lies otherwise in memory."""
    vae = VAE(model_config(conditional=classes > 0), 1, 16, classes).eval()
    before, file = priors(classes), tmp_path / "priors.safetensors"
    save_priors(file, before, vae)
    after = load_priors(file, vae)
    asked = torch.arange(9) % 3 if classes else None
    points = np.random.default_rng(1).normal(size=(9, 4))
    for one, other in ((before.mixture, after.mixture), (before.flow, after.flow)):
        drawn = [density.sample(9, generator(0, "x"), asked) for density in (one, other)]
        assert torch.allclose(*drawn, atol=1e-5)
        assert one.log_density(points, asked) == pytest.approx(other.log_density(points, asked))
    assert (after.headline, after.class_names) == (before.headline, before.class_names)


def test_a_flow_that_is_one_gaussian_comes_back_as_one(tmp_path: Path, vae: VAE) -> None:
    before, file = priors(learned=False), tmp_path / "priors.safetensors"
    save_priors(file, before, vae)
    after = load_priors(file, vae)
    assert after.flow.velocity is None and after.flow.strong == 2


def test_loading_draws_nothing_from_the_generator_of_the_caller(tmp_path: Path, vae: VAE) -> None:
    save_priors(tmp_path / "priors.safetensors", priors(), vae)
    state = torch.get_rng_state()
    load_priors(tmp_path / "priors.safetensors", vae)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_bytes_depend_on_the_values_alone(tmp_path: Path, vae: VAE) -> None:
    for name in "ab":
        save_priors(tmp_path / name, priors(3), vae)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_colder_codes_are_nearer_to_their_centres() -> None:
    one = priors()
    for density in (one.mixture, one.flow):
        spread = [density.sample(500, generator(0, "x"), None, t).std(0).mean() for t in (0.0, 0.5)]
        assert spread[0] < spread[1] < density.sample(500, generator(0, "x")).std(0).mean()
    still = one.mixture.sample(50, generator(0, "x"), None, 0.0)
    assert len(torch.unique(still.round(decimals=4), dim=0)) == 2, "the means of two components"


def test_priors_of_other_weights_are_refused(tmp_path: Path, vae: VAE, model_config) -> None:
    file = tmp_path / "priors.safetensors"
    save_priors(file, priors(), vae)
    with global_seed(1, "other"):
        other = VAE(model_config(), 1, 16)
    with pytest.raises(UserError, match="of other weights") as caught:
        load_priors(file, other)
    assert "weights.safetensors" in caught.value.expected
    assert caught.value.fix == "bring both back: dvc repro"


def test_a_missing_or_damaged_file_says_so_and_runs_nothing(tmp_path: Path, vae: VAE) -> None:
    file = tmp_path / "priors.safetensors"
    with pytest.raises(UserError, match="no such file"):
        load_priors(file, vae)
    save_priors(file, priors(), vae)
    whole = file.read_bytes()

    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (exec, ("raise SystemExit",))

    for damage in (b"", b"junk", whole[: len(whole) // 2], pickle.dumps(Trap())):
        file.write_bytes(damage)
        with pytest.raises(UserError, match="damaged"):
            load_priors(file, vae)
    renamed = whole.replace(b"mixture.means", b"mixture.xeans")
    file.write_bytes(renamed)
    with pytest.raises(UserError, match="damaged"):
        load_priors(file, vae)


def turned(**changes: np.ndarray) -> dict[str, object]:
    mixture = priors().mixture
    return {"mixture": mixture._replace(axes=mixture.axes._replace(**changes))}


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"headline": "flov"}, "the headline 'flov'"), ({"class_names": "abc"}, "names of classes"),
     ({"flow": priors(learned=False).flow._replace(strong=9)}, "axes of 4"),
     (turned(directions=2 * np.eye(4)), "at right angles, or not of length 1"),
     (turned(centre=np.full(4, 1e200)), r"below 1e\+12")],
)  # fmt: skip
def test_priors_that_nobody_draws_from_are_told(
    tmp_path: Path, vae: VAE, changes: dict[str, object], told: str
) -> None:
    """A headline of one wrong letter drew from N(0, I), and called it `flov`."""
    path = tmp_path / "priors.safetensors"
    save_priors(path, priors()._replace(**changes), vae)
    with pytest.raises(UserError, match=told) as caught:
        load_priors(path, vae)
    assert "dvc repro sample" in caught.value.fix
