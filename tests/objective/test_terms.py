"""Each term against an independent oracle, per image, with a gradient."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent, Normal, kl_divergence

from sharpvae.objective import terms
from sharpvae.objective.config import LossConfig, LossWeights
from sharpvae.objective.objective import Objective, beta_sigma, squared_share
from sharpvae.objective.schedules import Span
from sharpvae.perception.critic import Critic, CriticFeatures
from sharpvae.perception.distances import NormalisedDistance, PerceptualDistance, feature_variances
from sharpvae.vae.vae import kl_per_dimension
from tests.conftest import toy_loss


@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 9))
def test_kl_is_that_of_torch_distributions(seed: int, batch: int, latents: int) -> None:
    random = torch.Generator().manual_seed(seed)
    mean = torch.randn(batch, latents, generator=random, dtype=torch.float64)
    log_var = torch.randn(batch, latents, generator=random, dtype=torch.float64)
    posterior = Independent(Normal(mean, torch.exp(0.5 * log_var)), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    expected = kl_divergence(posterior, prior)
    assert torch.allclose(kl_per_dimension(mean, log_var).sum(1), expected)


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


PIXELS, LATENTS = 64, 2
images_of = st.integers(0, 2**31).map(
    lambda seed: torch.rand(2, 3, 2, 6, 6, generator=torch.Generator().manual_seed(seed)).double()
)


@given(images_of)
def test_cross_entropy_is_that_of_a_bernoulli(pair: torch.Tensor) -> None:
    image, reconstruction = pair
    coin = torch.distributions.Bernoulli(reconstruction.clamp(1e-6, 1 - 1e-6))
    zero, one = coin.log_prob(torch.zeros(())), coin.log_prob(torch.ones(()))
    expected = -(image * one + (1 - image) * zero).flatten(1).sum(1)
    assert torch.allclose(terms.cross_entropy(image, coin.probs), expected)


@given(images_of)
def test_the_gaussian_is_that_of_torch_at_its_best_variance(pair: torch.Tensor) -> None:
    image, reconstruction = pair
    variance = (image - reconstruction).square().mean()

    def likelihood(v: torch.Tensor) -> torch.Tensor:
        return -Normal(reconstruction, v.sqrt()).log_prob(image).flatten(1).sum(1)

    nll = terms.gaussian_nll(image, reconstruction)
    assert torch.allclose(nll, likelihood(variance))
    assert nll.sum() < min(likelihood(variance * k).sum() for k in (0.9, 1.1))


def test_the_gaussian_pulls_as_the_squared_error_over_twice_the_variance() -> None:
    image = torch.rand(4, 1, 8, 8)
    reconstruction = torch.rand(4, 1, 8, 8, requires_grad=True)
    variance = (image - reconstruction).square().mean().detach()
    (pull,) = torch.autograd.grad(terms.gaussian_nll(image, reconstruction).sum(), reconstruction)
    error = terms.squared_error(image, reconstruction).sum()
    (expected,) = torch.autograd.grad(error / (2 * variance), reconstruction)
    assert torch.allclose(pull, expected)


def test_the_gaussian_of_a_perfect_reconstruction_is_finite() -> None:
    image = torch.rand(2, 1, 8, 8)
    assert torch.isfinite(terms.gaussian_nll(image, image)).all()


@given(images_of)
def test_the_frequency_error_is_at_most_the_squared_error(pair: torch.Tensor) -> None:
    error = terms.frequency_error(*pair)
    assert (error > 0).all()
    assert (error <= terms.squared_error(*pair) * (1 + 1e-9)).all(), "Parseval, weights up to 1"


def test_a_single_wrong_frequency_costs_all_of_its_squared_error() -> None:
    wave = torch.cos(torch.arange(8) * 2 * torch.pi * 3 / 8).expand(1, 1, 8, 8).double()
    nothing = torch.zeros_like(wave)
    expected = terms.squared_error(wave, nothing)
    assert torch.allclose(terms.frequency_error(wave, nothing), expected)


def test_equal_images_have_no_frequency_error_and_a_finite_gradient() -> None:
    image = torch.rand(2, 1, 8, 8)
    same = image.clone().requires_grad_()
    error = terms.frequency_error(image, same)
    error.sum().backward()
    assert error.tolist() == [0, 0] and torch.isfinite(same.grad).all()


def test_free_bits_stop_the_gradient_of_dimensions_that_carry_less() -> None:
    per_dimension = torch.tensor([[0.1, 2.0], [0.3, 4.0]], requires_grad=True)
    spared = terms.spared_kl(per_dimension, free_bits=0.5, floor=0.0)
    assert spared.tolist() == [2.5, 4.5]
    spared.sum().backward()
    assert per_dimension.grad.tolist() == [[0, 1], [0, 1]]


def test_the_floor_holds_for_each_image() -> None:
    """Document 003: clamp(min=0.2) on the KL of each sample."""
    per_dimension = torch.tensor([[0.05, 0.1], [0.3, 0.4]], requires_grad=True)
    spared = terms.spared_kl(per_dimension, free_bits=0.0, floor=0.2)
    assert spared.tolist() == pytest.approx([0.2, 0.7])
    spared.sum().backward()
    assert per_dimension.grad.tolist() == [[0, 0], [1, 1]]


def objective(loss_config, **changes) -> Objective:
    return Objective(loss_config(**changes), PIXELS, LATENTS, Span(10, 4), critic(), normalised())


EVERY = {"l1": 1.0, "bce": 1.0, "gaussian": 1.0, "frequency": 1.0, "perceptual": 1.0,
         "lpips": 1.0}  # fmt: skip


@pytest.mark.parametrize("name", ["mse", *EVERY, "kl", "spared_kl"])
def test_every_term_is_per_image_and_moves_its_input(loss_config, name: str) -> None:
    images = torch.rand(4, 1, 8, 8)
    reconstructions = torch.rand(4, 1, 8, 8, requires_grad=True)
    mean = torch.randn(4, 2, requires_grad=True)
    log_var = torch.randn(4, 2, requires_grad=True)
    target = objective(loss_config, weights=EVERY, kl_floor=0.01)
    term = target.terms(images, reconstructions, mean, log_var)[name]
    assert term.shape == (4,)
    term[2].backward()
    for leaf in (mean, log_var) if "kl" in name else (reconstructions,):
        moved = leaf.grad.flatten(1).abs().sum(1)
        assert moved[2] > 0, "the third image's term moves the third image"
        assert moved[[0, 1, 3]].sum() == 0, "and no other"


def test_a_term_is_an_entry_in_the_table_and_a_weight() -> None:
    assert set(terms.TERMS) | {"perceptual", "lpips", "adversarial", "matching"} == set(
        LossWeights.model_fields
    )
    assert LossWeights().model_dump() == dict.fromkeys(LossWeights.model_fields, 0.0)


def test_what_is_not_in_use_is_not_computed(loss_config) -> None:
    image, code = torch.rand(2, 1, 8, 8), torch.zeros(2, 2)
    names = set(objective(loss_config).terms(image, image, code, code))
    assert names == {"mse", "l1", "kl"}


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
    assert torch.allclose(summed.total(parts, 0.5), 7 * blend + 0.5 * parts["kl"])
    averaged = objective(loss_config, weights=weights, reduction="mean", kl_reduction="mean")
    expected = blend / PIXELS + 0.5 * parts["kl"] / LATENTS
    assert torch.allclose(averaged.total(parts, 0.5), expected)


def test_the_total_takes_the_kl_that_is_not_free(loss_config) -> None:
    parts = {"mse": torch.ones(1), "l1": torch.ones(1), "kl": torch.ones(1)}
    parts["spared_kl"] = torch.full((1,), 3.0)
    assert float(objective(loss_config, free_bits=1.0).total(parts, 2.0)) == 1 + 2 * 3
    assert float(objective(loss_config).total(parts, 2.0)) == 1 + 2 * 1


def test_a_term_on_a_schedule_joins_when_it_is_due(loss_config) -> None:
    late = {"perceptual": {"start": 1.0}}
    target = objective(loss_config, weights={"perceptual": 2.0}, schedules=late)
    parts = {"mse": torch.ones(1), "perceptual": torch.ones(1), "kl": torch.zeros(1)}
    assert [float(target.total(parts, 0.0, step)) for step in (0, 9, 10)] == [1, 1, 3]
    assert float(target.total(parts, 0.0)) == 3, "without a step: its final weight"


def test_while_the_only_term_waits_there_is_nothing_to_reconstruct(loss_config) -> None:
    late = {"perceptual": {"start": 1.0}}
    target = objective(loss_config, weights={"mse": 0.0, "perceptual": 2.0}, schedules=late)
    parts = {"mse": torch.ones(3), "perceptual": torch.ones(3), "kl": torch.ones(3)}
    assert target.reconstruction(parts, 0).tolist() == [0, 0, 0]


def test_the_adversarial_weight_waits_and_scales_unless_it_is_adaptive(loss_config) -> None:
    late = {"adversarial": {"unit": "fraction", "start": 0.5}}
    for adaptive, final in ((True, 3.0), (False, 3.0 * 7 / PIXELS)):
        target = objective(
            loss_config, weights={"adversarial": 3.0}, schedules=late, reduction="mean",
            reconstruction_weight=7.0, adversarial={"adaptive": adaptive},
        )  # fmt: skip
        assert target.weight("adversarial", 19) == 0
        assert target.weight("adversarial", 20) == pytest.approx(final)


@given(
    st.sampled_from(["sum", "mean"]), st.sampled_from(["sum", "mean"]), st.floats(0, 10),
    st.floats(0.01, 3000), st.floats(0.01, 10), st.integers(1, 20_000), st.integers(1, 500),
)  # fmt: skip
def test_beta_sigma_is_the_ratio_of_the_two_weights(
    reduction: str, kl: str, beta: float, weight: float, mse: float, pixels: int, latents: int
) -> None:
    """Read off the objective itself: d total / d KL over d total / d SSE."""
    from tests.conftest import IMPROVED  # hypothesis takes no function-scoped fixture

    loss = IMPROVED.loss.model_copy(update={
        "reduction": reduction, "kl_reduction": kl, "beta": beta,
        "reconstruction_weight": weight,
        "weights": IMPROVED.loss.weights.model_copy(
            update={"mse": mse, "l1": 0.0, "perceptual": 0.0}
        ),
    })  # fmt: skip
    sse, nats = (torch.ones(1, dtype=torch.float64, requires_grad=True) for _ in range(2))
    target = Objective(loss, pixels, latents, Span(1, 1), None)
    target.total({"mse": sse, "kl": nats}, target.beta()).backward()
    ratio = float(nats.grad / sse.grad)
    assert beta_sigma(loss, pixels, latents) == pytest.approx(ratio)


def test_beta_sigma_of_a_learned_variance_is_twice_that_variance(loss_config) -> None:
    """The ELBO of a Gaussian decoder of variance s^2 has beta_sigma = 2 s^2."""
    loss = loss_config(weights={"mse": 0.0, "gaussian": 1.0})
    assert beta_sigma(loss, 1000, 8, squared_error=1000 * 0.03) == pytest.approx(2 * 0.03)
    assert beta_sigma(loss, 1000, 8) is None, "before training"


def test_beta_sigma_under_a_controller_is_that_of_the_beta_it_found(loss_config) -> None:
    loss = loss_config(kl_share=0.1, beta=100.0)
    assert beta_sigma(loss, 1000, 8) is None, "before training"
    assert beta_sigma(loss, 1000, 8, beta=0.25) == 0.25


def test_beta_sigma_of_the_published_systems(loss_config) -> None:
    first = loss_config(reduction="mean", reconstruction_weight=2000.0)
    assert beta_sigma(first, 64 * 64 * 3, 200) == pytest.approx(6.144)
    assert beta_sigma(first, 32 * 32, 200) == pytest.approx(0.512)
    literal = loss_config(reduction="mean", weights={"mse": 0.8, "l1": 0.2})
    assert beta_sigma(literal, 64 * 64 * 3, 512) == pytest.approx(15360)
    means = loss_config(reduction="mean", kl_reduction="mean", beta=1e-3)
    assert beta_sigma(means, 224 * 224 * 3, 256) == pytest.approx(0.588)
    assert beta_sigma(loss_config(weights={"mse": 0.0, "l1": 1.0}), 1024, 8) is None


def test_a_perceptual_weight_needs_a_network(loss_config) -> None:
    for name in ("perceptual", "lpips"):
        with pytest.raises(ValueError, match=f"{name} is above 0, but no network"):
            Objective(loss_config(weights={name: 1.0}), PIXELS, LATENTS, Span(1, 1), None)


def test_beta_follows_its_schedule_to_the_end(loss_config) -> None:
    rise = {"beta": {"shape": "linear", "length": 2.0}}
    target = objective(loss_config, beta=4.0, schedules=rise)
    assert [target.beta(step) for step in (0, 5, 10, 20, 1000)] == [0.0, 1.0, 2.0, 4.0, 4.0]
    assert target.beta() == 4.0


VALUES = {"mse": 3.0, "l1": 4.0, "perceptual": 2.0, "kl": 99.0}


def test_the_squared_errors_share_by_hand(loss_config) -> None:
    weights = {"mse": 0.5, "l1": 0.25, "perceptual": 1.0}
    assert squared_share(loss_config(weights=weights), VALUES) == pytest.approx(1.5 / 4.5)
    assert squared_share(loss_config(), VALUES) == 1.0, "all that is trained on"
    assert squared_share(loss_config(weights={"mse": 0.0, "l1": 1.0}), VALUES) == 0.0


@given(st.floats(0.1, 10), st.floats(0.1, 10), st.floats(0.1, 10))
def test_the_share_knows_no_common_scale(a: float, b: float, scale: float) -> None:
    def share(factor: float) -> float | None:
        weights = {"mse": a * factor, "l1": b * factor}
        return squared_share(LossConfig.model_validate(toy_loss(weights=weights)), VALUES)

    assert share(scale) == pytest.approx(share(1.0))
    assert 0 < share(1.0) < 1  # type: ignore[operator]


def test_no_share_of_a_likelihood_or_of_nothing(loss_config) -> None:
    perfect = dict.fromkeys(VALUES, 0.0)
    assert squared_share(loss_config(), perfect) is None
    for name in ("gaussian", "bce"):
        weights = {"mse": 0.0, name: 1.0}
        assert squared_share(loss_config(weights=weights), VALUES | {name: -5.0}) is None
    adversarial = loss_config(weights={"adversarial": 0.5})
    assert squared_share(adversarial, VALUES) == 1.0, "an adversary has no scale of its own"
