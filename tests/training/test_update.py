"""Pieces of a batch, the norm of the gradient, and steps that are not taken."""

from __future__ import annotations

import pytest
import torch

from sharpvae.core.errors import UserError
from sharpvae.images.feed import Batch
from sharpvae.training.config import indivisible
from sharpvae.training.loop import Trainer
from sharpvae.training.validate import measure

GROUP = {"norm": "group"}


def batches(run: Trainer) -> list[Batch]:
    return list(run.train.shuffled(run.config.batch_size, 0, 1))


@pytest.mark.parametrize("pieces", [2, 4, 8])
def test_pieces_of_a_batch_add_up_to_its_gradient(trainer, pieces: int) -> None:
    """Without batch norm, which sees a piece at a time."""
    whole, cut = trainer(model=GROUP), trainer(model=GROUP, accumulate=pieces)
    for batch in batches(whole)[:3]:
        terms, others = whole.update(batch), cut.update(batch)
        for name, value in terms.items():
            torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-6)
        for one, other in zip(whole.vae.parameters(), cut.vae.parameters(), strict=True):
            torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-4)


def test_a_batch_that_cannot_be_shared_is_refused_with_one_that_can(trainer) -> None:
    with pytest.raises(UserError, match=r"multiple of 6.*(?s:.*)set it to 66"):
        raise indivisible(64, 3, 2) or AssertionError("none")
    assert indivisible(64, 4, 2) is None
    with pytest.raises(UserError, match=r"multiple of 3.*(?s:.*)set it to 9"):
        trainer(accumulate=3)


def test_the_adversary_sees_every_piece(trainer) -> None:
    loss = {"weights": {"adversarial": 0.1}, "adversarial": {"fakes": "samples", "adaptive": False}}
    runs = [trainer(model=GROUP, loss=loss, accumulate=pieces) for pieces in (1, 2)]
    found = [run.update(batches(run)[0])["discriminator"] for run in runs]
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


def test_the_norm_is_that_of_the_gradient_before_clipping(trainer) -> None:
    run = trainer(grad_clip=0.01)
    batch = batches(run)[0]
    noise = torch.randn(8, 4, generator=torch.Generator().set_state(run.update.noise.get_state()))
    terms, *_ = measure(run.vae.train(), run.objective, run.update.autocast, batch, noise)
    run.objective.total(terms, run.objective.beta(0), 0).mean().backward()
    squares = [weight.grad.double().square().sum() for weight in run.vae.parameters()]
    again = trainer(grad_clip=0.01)
    again.vae.train()
    found = again.update(batch)["gradient"]
    assert float(found) == pytest.approx(float(torch.stack(squares).sum().sqrt()), rel=1e-4)


def test_no_step_is_taken_once_something_is_not_finite(trainer) -> None:
    run = trainer()
    good, bad, after = batches(run)[:3]
    run.update(good)
    before = {name: value.clone() for name, value in run.vae.named_parameters()}
    run.update(bad._replace(images=bad.images * float("nan")))
    run.update(after)
    for name, value in run.vae.named_parameters():
        assert torch.equal(before[name], value), name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_step_with_nothing_found_is_the_step_that_does_not_look(trainer, precision) -> None:
    """`found_inf` of 0 changes no bit of what the fused optimiser does."""
    looking, plain = trainer(precision=precision), trainer(precision=precision)
    plain.update._step = lambda optimizer, bad: optimizer.step()
    for run in (looking, plain):
        for batch in batches(run):
            run.update(batch)
    pairs = zip(looking.vae.state_dict().values(), plain.vae.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_compiled_training_learns_the_same(trainer, monkeypatch) -> None:
    """The compiler itself is PyTorch's; what is ours is where it is put in."""
    compiled = []

    def stand_in(vae, **options):
        compiled.append(options)
        return lambda *inputs: vae(*inputs)

    monkeypatch.setattr(torch, "compile", stand_in)
    runs = trainer(compile=True, epochs=1), trainer(epochs=1)
    for run in runs:
        list(run.run())
    assert compiled == [{"dynamic": False}]
    assert runs[0].history == runs[1].history
