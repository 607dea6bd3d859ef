"""The contest shows the adversary what it is asked to, and each piece and process its share."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpvae.training.contest import Contest, Draws
from sharpvae.training.loop import Trainer
from sharpvae.vae.vae import Posterior

LOSS = {"weights": {"adversarial": 0.1}, "schedules": {"adversarial": {"start": 1.0}}}


def contest(trainer, **adversarial) -> tuple[Trainer, Contest]:
    run = trainer(loss=LOSS | {"adversarial": {"fakes": "samples", **adversarial}})
    found = run.update.contest
    assert found is not None
    return run, found


def codes_of(draws: list[Draws]) -> Tensor:
    return torch.cat([drawn.codes for drawn in draws if drawn.codes is not None])


def test_a_training_without_an_adversary_has_none(trainer) -> None:
    assert trainer().update.contest is None


def test_it_begins_with_its_schedule(trainer) -> None:
    _, one = contest(trainer)
    assert not one.begun(0) and one.begun(8)


@pytest.mark.parametrize(("fakes", "kinds"), [("reconstructions", 1), ("samples", 1), ("both", 2)])
def test_fakes_are_of_the_kinds_asked_for(trainer, fakes: str, kinds: int) -> None:
    _, one = contest(trainer, fakes=fakes)
    (drawn,) = one.draw(0)
    reconstructions, samples = torch.zeros(8, 1, 16, 16), torch.ones(8, 1, 16, 16)
    images = (
        reconstructions if fakes == "reconstructions" else torch.cat([reconstructions, samples])
    )
    found = one.fakes(images, drawn)
    assert len(found) == kinds and all(kind.shape == reconstructions.shape for kind in found)
    assert torch.equal(found[-1], reconstructions if fakes == "reconstructions" else samples)
    assert (drawn.codes is None) == (fakes == "reconstructions")


def test_pieces_and_processes_share_the_draws_of_a_batch(trainer) -> None:
    run, whole = contest(trainer)
    expected = whole.draw(5)[0]
    parts = []
    for rows in (torch.arange(0, 4), torch.arange(4, 8)):  # of two processes, in two pieces each
        one = Contest(whole.adversary, run.vae, run.objective, rows, 8, 2, 0)
        parts += one.draw(5)
    assert torch.equal(codes_of(parts), codes_of([expected]))
    assert expected.augmentations is not None
    numbers = [drawn.augmentations for drawn in parts if drawn.augmentations is not None]
    assert torch.equal(torch.cat(numbers, 1), expected.augmentations)


def test_codes_are_the_priors_or_follow_the_posteriors(trainer) -> None:
    far = Posterior(torch.full((8, 4), 7.0), torch.full((8, 4), -6.0))
    for codes, expected in (("prior", 0.0), ("aggregate", 7.0)):
        _, one = contest(trainer, codes=codes)
        for _ in range(30):
            one.follow([far])
        drawn = torch.cat([codes_of(one.draw(step)) for step in range(20)])
        assert float(drawn.mean()) == pytest.approx(expected, abs=0.3)


def test_reals_and_fakes_are_augmented_alike_but_not_by_the_same_draws(trainer) -> None:
    _, one = contest(trainer, fakes="reconstructions", augment=["translation"])
    (drawn,) = one.draw(0)
    images = torch.rand(8, 1, 16, 16)
    (fakes,) = one.fakes(images, drawn)
    (reals,) = one._augmented([images], drawn, 0)
    assert not torch.equal(fakes, images) and not torch.equal(fakes, reals)


def test_samples_are_decoded_beside_reconstructions(trainer) -> None:
    """Batch norm normalises both together, as it will when it is evaluated."""
    run, one = contest(trainer)
    (drawn,) = one.draw(0)
    batch = next(run.train.shuffled(8, 0, 1))
    noise = torch.zeros(8, 4)
    run.vae.train()
    images, posterior = run.vae(batch.images, noise, batch.labels, drawn.codes)
    assert images.shape == (16, 1, 16, 16)
    together = run.vae.decoder(torch.cat([posterior.mean, drawn.codes]), None)
    assert torch.allclose(images, together, atol=1e-5)


def test_features_are_matched_where_they_have_a_weight(trainer) -> None:
    reals, images = torch.rand(8, 1, 16, 16), torch.rand(16, 1, 16, 16)
    for weight in (0.0, 0.5):
        weights = LOSS["weights"] | {"matching": weight}
        run = trainer(loss=LOSS | {"weights": weights, "adversarial": {"fakes": "samples"}})
        one = run.update.contest
        assert one is not None
        (drawn,) = one.draw(8)
        found = one.terms(reals, images, one.fakes(images, drawn), 8)
        assert ("matching" in found) == (weight > 0)
    assert torch.equal(found["matching"], one.adversary.matching(reals, images[:8]))
    assert one.objective.weight("matching", 0) == 0 < one.objective.weight("matching", 8)
