"""The studies against what was published: scale of the loss, shapes, schedules."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from sharpvae.config.experiment import VariantConfig
from sharpvae.config.names import Studies, read_settings
from sharpvae.config.resolve import resolve
from sharpvae.core.config import flatten
from sharpvae.objective.discriminator import Discriminator
from sharpvae.objective.objective import beta_sigma
from sharpvae.objective.schedules import Span, fraction_of_full
from sharpvae.vae.vae import VAE

REPOSITORY = Path(__file__).parents[1]
PARAMS = read_settings(REPOSITORY / "params.yaml")
STUDIES = Studies(REPOSITORY / "studies")


def study(name: str, preset: str = "paper") -> VariantConfig:
    """The study as a variant, at the published sizes."""
    params = {**PARAMS, "preset": preset, "variants": {name: {"study": name}}}
    return resolve(params, STUDIES).experiment.variants[name]


@pytest.mark.parametrize(
    ("name", "side", "channels", "published"),
    [
        ("s000-original", 64, 3, 6.144),
        ("s000-improved-literal", 64, 3, 15_360),
        ("s000-improved", 64, 3, 0.5),
        ("s001-collapse", 224, 3, 588),
        ("s001-fixed", 224, 3, 0.588),
        ("s002-cvae", 96, 3, 4),
        ("s003-simple", 28, 1, 4),
        ("s003-composite", 28, 1, 4),
        ("s004-literal", 128, 3, 819_200),
        ("s004-high-quality", 128, 3, 1),
    ],
)
def test_beta_sigma_is_what_the_published_code_amounts_to(
    name: str, side: int, channels: int, published: float
) -> None:
    variant = study(name)
    found = beta_sigma(variant.loss, side * side * channels, variant.model.latent_dim)
    assert found == pytest.approx(published, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "epochs", "batch_size", "lr"),
    [
        ("s000-original", 50, 256, 5e-4),
        ("s000-improved", 100, 256, 1e-4),
        ("s001-fixed", 10, 32, 5e-5),
        ("s002-cvae", 100, 64, 2e-4),
        ("s003-simple", 40, 128, 5e-4),
    ],
)
def test_the_paper_preset_trains_as_published(
    name: str, epochs: int, batch_size: int, lr: float
) -> None:
    train = study(name).train
    assert (train.epochs, train.batch_size, train.lr) == (epochs, batch_size, lr)


def convolutions(network: nn.Module) -> list[tuple[int, int, int, int]]:
    """Channels in and out, kernel, stride; sorted, since modules stand in no order of use."""
    return sorted(
        (layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0])
        for layer in network.modules()
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
    )


def linears(network: nn.Module) -> list[tuple[int, int]]:
    layers = (layer for layer in network.modules() if isinstance(layer, nn.Linear))
    return sorted((layer.in_features, layer.out_features) for layer in layers)


def test_the_conditional_network_of_document_002() -> None:
    vae = VAE(study("s002-cvae").model, 3, 96, classes=3)
    assert convolutions(vae.encoder) == [
        (6, 64, 4, 2), (64, 128, 4, 2), (128, 256, 4, 2), (256, 512, 4, 2)
    ]  # fmt: skip
    assert convolutions(vae.decoder) == [
        (64, 3, 4, 2), (128, 64, 4, 2), (256, 128, 4, 2), (512, 256, 4, 2)
    ]  # fmt: skip
    assert linears(vae) == [(128 + 3, 512 * 36), (512 * 36, 128), (512 * 36, 128)]
    norms = [layer for layer in vae.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [128, 256, 512, 256, 128, 64]


def test_the_original_network_of_document_000() -> None:
    vae = VAE(study("s000-original").model, 3, 64)
    assert convolutions(vae.encoder) == [(3, 128, 3, 2)] + 3 * [(128, 128, 3, 2)]
    assert convolutions(vae.decoder) == [(128, 3, 3, 1)] + 4 * [(128, 128, 3, 2)]
    assert linears(vae) == [(200, 128 * 16), (128 * 16, 200), (128 * 16, 200)]


def test_the_mlp_and_the_discriminator_of_document_003() -> None:
    variant = study("s003-composite")
    vae = VAE(variant.model, 1, 28)
    down = [(784, 784), (784, 512), (512, 256), (256, 128)]
    up = [(2, 128), (128, 256), (256, 512), (512, 784), (784, 784)]
    assert linears(vae) == sorted([*down, (128, 2), (128, 2), *up])
    section = variant.loss.adversarial
    discriminator = Discriminator(1, variant.model.scaled(section.widths), norm=section.norm)
    assert convolutions(discriminator) == [
        (1, 32, 3, 1), (32, 64, 4, 2), (64, 128, 4, 2), (128, 256, 3, 1), (256, 1, 1, 1)
    ]  # fmt: skip


def test_the_beta_of_document_002_warms_up_in_every_cycle() -> None:
    schedule = study("s002-cvae").loss.schedules.beta
    span = Span(epoch_steps=7, epochs=100)
    betas = [4 * fraction_of_full(schedule, 7 * epoch, span) for epoch in range(100)]
    assert betas[:11] == pytest.approx([0.4 * epoch for epoch in range(11)])
    assert set(betas[10:20]) == {4.0} and betas[20] == 0 and betas[45] == 2.0


def test_burdas_network_and_its_likelihood() -> None:
    variant = study("burda2016", "laptop")
    down, up = [(784, 200), (200, 200), (200, 50), (200, 50)], [(50, 200), (200, 200), (200, 784)]
    vae = VAE(variant.model, 1, 28)
    assert linears(vae) == sorted(down + up)
    assert sum(isinstance(layer, nn.Tanh) for layer in vae.modules()) == 4
    assert variant.loss.likelihood == "bernoulli" and variant.loss.beta == 1
    assert variant.sample.likelihood.samples == 5000
    assert study("s003-simple").sample.likelihood.samples == 0


FREE = (  # what a study leaves to the run, or to the machine
    "model.width_scale", "loss.perceptual.network", "loss.perceptual.weights",
    "loss.perceptual.layers", "train.epochs", "train.updates", "train.lr", "train.batch_size",
    "train.precision", "train.compile", "train.accumulate", "train.devices", "train.nodes",
    "train.checkpoint_every", "train.film_every",
)  # fmt: skip
MLP = {f"model.{key}" for key in (
    "family", "latent_dim", "widths", "activation", "negative_slope", "norm", "dropout", "init",
    "log_var_clamp", "conditional",
)}  # fmt: skip


def changes(value: Any) -> list[Any]:
    """Other values of a key, valid or not: the study must not look at them."""
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, float | int):
        return [value + 1]
    if isinstance(value, list):
        return [[1, 2]]
    return ["other"]


@pytest.mark.parametrize("name", list(STUDIES))
def test_no_shared_key_moves_a_study(name: str) -> None:
    """Whatever the shared sections say, except for the sizes of a run."""
    before = study(name, "laptop")
    flat = flatten(before.model_dump(include={"model", "loss", "train"}))
    used = before.loss.weights
    for key, value in flat.items():
        unused = any(
            key.startswith(start) and weight == 0
            for start, weight in (
                ("loss.schedules.perceptual", used.perceptual),
                ("loss.perceptual", used.perceptual),
                ("loss.schedules.adversarial", used.adversarial),
                ("loss.adversarial", used.adversarial), ("loss.lpips", used.lpips),
                ("train.fid_every", before.train.best_by == "fid"),
            )
        )  # fmt: skip
        lr = key.startswith("train.lr_") or key == "train.lr"
        mlp = before.model.family == "mlp" and key.startswith("model.")
        if key in FREE or unused or lr or value is None or (mlp and key not in MLP):
            continue
        params = copy.deepcopy(PARAMS)
        section = params
        *path, last = key.split(".")
        for part in path:
            section = section[part]
        for other in changes(value):
            section[last] = other
            params["variants"] = {name: {"study": name}}
            after = resolve(params, STUDIES).experiment.variants[name]
            assert after == before, key


@pytest.mark.parametrize("name", list(STUDIES))
def test_a_study_fixes_every_term_so_that_no_preset_leaks_into_it(name: str) -> None:
    fixed = set(study(name, "laptop").loss.weights.model_dump().items())
    preset = "ultra_high_quality"  # the one that turns LPIPS on
    assert set(study(name, preset).loss.weights.model_dump().items()) == fixed


def test_a_term_that_a_study_does_not_list_weighs_nothing() -> None:
    """So a new term touches no study, whatever the shared sections give it."""
    params = copy.deepcopy(PARAMS)
    params["loss"]["weights"]["frequency"] = 3.0
    params["variants"] = {"mine": {"study": "s000-original"}, "plain": {}}
    variants = resolve(params, STUDIES).experiment.variants
    assert "frequency" not in STUDIES["s000-original"]["loss"]["weights"]
    assert variants["mine"].loss.weights.frequency == 0
    assert variants["plain"].loss.weights.frequency == 3
