"""Each term against an independent oracle, per image, with a gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from sharpvae.networks.critic import Critic, CriticFeatures
from sharpvae.objective import terms
from sharpvae.objective.beta_sigma import beta_sigma
from sharpvae.objective.objective import Objective
from sharpvae.objective.perceptual import NormalisedDistance, PerceptualDistance, feature_variances
from sharpvae.objective.schedules import linear_warmup


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 9))
def test_kl_is_that_of_torch_distributions(seed: int, batch: int, latents: int) -> None:
    random = torch.Generator().manual_seed(seed)
    mean = torch.randn(batch, latents, generator=random, dtype=torch.float64)
    log_var = torch.randn(batch, latents, generator=random, dtype=torch.float64)
    posterior = Independent(Normal(mean, torch.exp(0.5 * log_var)), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    expected = kl_divergence(posterior, prior)
    assert torch.allclose(terms.kl_divergence(mean, log_var), expected)


def test_errors_are_sums_over_one_images_pixels() -> None:
    images = torch.zeros(2, 3, 4, 4)
    reconstructions = torch.stack([torch.full((3, 4, 4), 0.5), torch.ones(3, 4, 4)])
    assert terms.squared_error(images, reconstructions).tolist() == [12.0, 48.0]
    assert terms.absolute_error(images, reconstructions).tolist() == [24.0, 48.0]


def critic(channels: int = 1) -> PerceptualDistance:
    torch.manual_seed(0)
    features = CriticFeatures(Critic(channels, 10, [4, 8]))
    return PerceptualDistance(features, feature_variances(features, torch.rand(64, channels, 8, 8)))


def test_perceptual_distance_of_equals_is_zero_and_per_image() -> None:
    images = torch.rand(3, 1, 8, 8)
    other = images.clone()
    other[1] = 1 - other[1]
    distance = critic()(images, other)
    assert distance.shape == (3,)
    assert distance[0] == distance[2] == 0 < distance[1]


class _Pixels(torch.nn.Module):
    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        return [images, 10 * images]


def test_perceptual_distance_in_pixels_is_the_squared_error_over_the_variance() -> None:
    """Each layer is divided by its own variance, so a layer's scale does not matter."""
    a, b = torch.rand(2, 64, 1, 8, 8, generator=torch.Generator().manual_seed(1)).unbind()
    variances = feature_variances(_Pixels(), a)
    distance = PerceptualDistance(_Pixels(), variances)(a, b)
    assert torch.allclose(distance, terms.squared_error(a, b) / a.var())
    assert distance.mean() / a[0].numel() == pytest.approx(2, rel=0.05), "unrelated: twice D"


def normalised(scale: float = 1.0) -> NormalisedDistance:
    torch.manual_seed(0)
    network = CriticFeatures(Critic(1, 10, [4, 8]))
    for block in network.critic.blocks:
        for layer in (block[0], block[2]):
            layer.bias.data.zero_()  # so that the maps of a layer scale with its weights
    network.critic.blocks[0][0].weight.data *= scale
    return NormalisedDistance(network)


def test_normalised_distance_forgets_the_scale_of_features() -> None:
    """By the formula written out, and the same whatever a layer's weights are multiplied by."""
    a, b = torch.rand(2, 5, 1, 8, 8).unbind()
    plain = normalised()
    expected = torch.zeros(5)
    for f, g in zip(plain.network(a), plain.network(b), strict=True):
        cosine = torch.nn.functional.cosine_similarity(f, g, dim=1, eps=1e-20)
        there = (f.norm(dim=1) > 0).float() + (g.norm(dim=1) > 0).float()
        expected += ((there - 2 * cosine) / f.shape[1]).mean((1, 2))  # |f|^2 + |g|^2 - 2 f.g
    assert torch.allclose(plain(a, b), 64 * expected, rtol=1e-3)
    assert torch.allclose(plain(a, b), normalised(7.0)(a, b), rtol=1e-4)
    assert plain(a, a).abs().max() == 0


def test_a_position_without_features_has_a_finite_gradient() -> None:
    """The root of a vector of zeros has no derivative; it must not poison the whole image."""
    a = torch.rand(1, 3, 4, 4)
    b = torch.rand(1, 3, 4, 4)
    b[..., 0, 0] = 0
    b.requires_grad_(True)

    class Pixels(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
            return [images.relu()]

    NormalisedDistance(Pixels())(a, b).sum().backward()
    assert b.grad.isfinite().all()
    assert b.grad.abs().sum() > 0


def objective(loss_config, **changes) -> Objective:
    return Objective(loss_config(**changes), critic(), 10, normalised())


@pytest.mark.parametrize("name", ["mse", "l1", "perceptual", "lpips", "kl"])
def test_every_term_is_per_image_and_moves_its_input(loss_config, name: str) -> None:
    images = torch.rand(4, 1, 8, 8)
    reconstructions = torch.rand(4, 1, 8, 8, requires_grad=True)
    mean = torch.randn(4, 2, requires_grad=True)
    log_var = torch.randn(4, 2, requires_grad=True)
    target = objective(loss_config, weights={"l1": 1.0, "perceptual": 1.0, "lpips": 1.0})
    term = target.terms(images, reconstructions, mean, log_var)[name]
    assert term.shape == (4,)
    term[2].backward()
    for leaf in (mean, log_var) if name == "kl" else (reconstructions,):
        moved = leaf.grad.flatten(1).abs().sum(1)
        assert moved[2] > 0, "the third image's term moves the third image"
        assert moved[[0, 1, 3]].sum() == 0, "and no other"


def test_the_critics_weights_are_frozen(loss_config) -> None:
    target = objective(loss_config, weights={"perceptual": 1.0})
    assert target.perceptual is not None
    assert not any(weight.requires_grad for weight in target.perceptual.parameters())
    assert not target.perceptual.network.training


def test_the_total_is_the_weighted_sum(loss_config) -> None:
    parts = {name: torch.rand(5) for name in ("mse", "l1", "perceptual", "kl")}
    weights = {"mse": 2.0, "l1": 3.0, "perceptual": 5.0}
    summed = objective(loss_config, weights=weights, reconstruction_weight=7.0)
    blend = 2 * parts["mse"] + 3 * parts["l1"] + 5 * parts["perceptual"]
    assert torch.allclose(summed.total(parts, 0.5, 64), 7 * blend + 0.5 * parts["kl"])
    averaged = objective(loss_config, weights=weights, reduction="mean")
    assert torch.allclose(averaged.total(parts, 0.5, 64), blend / 64 + 0.5 * parts["kl"])


@given(
    st.sampled_from(["sum", "mean"]), st.floats(0, 10), st.floats(0.01, 3000), st.floats(0.01, 10),
    st.integers(1, 20_000),
)  # fmt: skip
def test_beta_sigma_is_the_ratio_of_the_two_weights(
    reduction: str, beta: float, weight: float, mse: float, pixels: int
) -> None:
    """Read off the objective itself: d total / d KL over d total / d SSE."""
    from tests.conftest import IMPROVED  # hypothesis takes no function-scoped fixture

    loss = IMPROVED.loss.model_copy(update={
        "reduction": reduction, "beta": beta, "reconstruction_weight": weight,
        "weights": IMPROVED.loss.weights.model_copy(
            update={"mse": mse, "l1": 0.0, "perceptual": 0.0}
        ),
    })  # fmt: skip
    sse, kl = (torch.ones(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    Objective(loss, None, 1).total({"mse": sse, "kl": kl}, beta, pixels).backward()
    assert beta_sigma(loss, pixels) == pytest.approx(float(kl.grad / sse.grad))


def test_beta_sigma_of_the_published_systems(loss_config) -> None:
    first = loss_config(reduction="mean", reconstruction_weight=2000.0)
    assert beta_sigma(first, 64 * 64 * 3) == pytest.approx(6.144)
    assert beta_sigma(first, 32 * 32) == pytest.approx(0.512)
    literal = loss_config(reduction="mean", weights={"mse": 0.8, "l1": 0.2})
    assert beta_sigma(literal, 64 * 64 * 3) == pytest.approx(15360)
    assert beta_sigma(loss_config(weights={"mse": 0.0, "l1": 1.0}), 1024) is None


def test_a_perceptual_weight_needs_a_network(loss_config) -> None:
    for name in ("perceptual", "lpips"):
        with pytest.raises(ValueError, match=f"{name} is above 0, but no network"):
            Objective(loss_config(weights={name: 1.0}), None, 1)


def test_beta_warms_up_linearly_and_stays(loss_config) -> None:
    target = Objective(loss_config(beta=4.0, anneal_epochs=2.0), None, epoch_steps=10)
    assert [target.beta(step) for step in (0, 5, 10, 20, 1000)] == [0.0, 1.0, 2.0, 4.0, 4.0]


@given(st.integers(0, 1000), st.integers(0, 1000), st.floats(0, 100))
def test_warmup_never_falls_and_never_passes_its_target(step: int, warm: int, top: float) -> None:
    now, later = linear_warmup(step, warm, top), linear_warmup(step + 1, warm, top)
    assert 0 <= now <= later <= top
