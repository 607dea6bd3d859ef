"""The loop learns, stops, keeps the best, repeats itself, and refuses NaN."""

from __future__ import annotations

import gc
from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from sharpvae.core.errors import UserError
from sharpvae.images.feed import Batch
from sharpvae.objective.objective import Objective
from sharpvae.objective.schedules import Span, lr_factor
from sharpvae.training import loop
from sharpvae.training.loop import Epoch, Step, Trainer
from sharpvae.training.validate import Validation, measure, validate
from tests.conftest import IMPROVED

WARMUP = {"shape": "linear", "length": 10.0}


def epochs(trainer: Trainer) -> list[Epoch]:
    return [event for event in trainer.run() if isinstance(event, Epoch)]


def test_the_loss_falls(trainer) -> None:
    history = epochs(trainer(epochs=12, lr=3e-3))
    assert history[-1].validation["loss"] < 0.6 * history[0].validation["loss"]
    assert history[-1].last


def test_many_passes_make_at_most_a_hundred_epochs(train_config) -> None:
    span = train_config(epochs=None, updates=1680, batch_size=64).span
    assert span(3600 + 40) == Span(56, 30), "the digits of the default run"
    assert span(64) == Span(17, 99)
    assert span(504) == Span(21, 80), "three passes of seven updates"
    assert span(64 * 2000) == Span(2000, 1)
    assert train_config(epochs=400, batch_size=64).span(504) == Span(7, 400), "as set"


@given(images=st.integers(2, 10**6), batch=st.integers(2, 512), updates=st.integers(1, 10**5))
def test_updates_are_rounded_up_to_whole_epochs(images: int, batch: int, updates: int) -> None:
    images = max(images, batch)
    config = IMPROVED.train.model_copy(
        update={"epochs": None, "updates": updates, "batch_size": batch}
    )
    span = config.span(images)
    assert span.steps - span.epoch_steps < updates <= span.steps
    assert span.epochs <= 100
    assert span.epoch_steps % (images // batch) == 0


def test_an_epoch_of_many_passes_trains_as_the_passes_one_by_one(trainer) -> None:
    # Nothing here looks at epochs but validation.
    long = trainer(epochs=None, updates=240, batch_size=32)
    assert (long.span.epoch_steps, long.span.epochs) == (4, 60)
    many = trainer(epochs=120, batch_size=32)
    assert len(epochs(long)) == 60 and len(epochs(many)) == 120
    for ours, theirs in zip(long.vae.parameters(), many.vae.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert long.history[-1].validation == many.history[-1].validation


def test_steps_and_epochs_are_counted(trainer) -> None:
    events = list(trainer(epochs=2, batch_size=10).run())
    assert [e for e in events if isinstance(e, Step)][-1] == Step(2, 6, 6, 12, 10)
    assert [e.step for e in events if isinstance(e, Epoch)] == [6, 12]


def test_no_update_leaves_a_tensor_behind(trainer) -> None:
    """However small: between them the heap would fall to pieces, and grow by a batch an update."""

    def tensors() -> int:
        gc.collect()
        return sum(issubclass(type(kept), Tensor) for kept in gc.get_objects())

    updates = trainer(epochs=1, batch_size=2).run()
    counts = [tensors() for event in updates if isinstance(event, Step) and event.done % 10 == 5]
    assert len(counts) > 2 and len(set(counts)) == 1


def test_the_same_seed_gives_the_same_weights_and_another_does_not(trainer) -> None:
    runs = [trainer(seed) for seed in (0, 0, 1)]
    histories = [epochs(run) for run in runs]
    first, second, other = (run.vae.state_dict() for run in runs)
    assert histories[0] == histories[1] != histories[2]
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def seen(run: Trainer, updates: int) -> list[list[int]]:
    """Train; the labels, here the positions, of each of the first `updates` batches."""
    batches, forward = [], run.update.forward

    def noted(images: Tensor, noise: Tensor, labels: Tensor):
        batches.append(labels.tolist())
        return forward(images, noise, labels)

    run.update.forward = noted
    list(islice((event for event in run.run() if isinstance(event, Step)), updates))
    return batches


def test_the_seed_decides_the_batches_of_every_epoch(trainer) -> None:
    first, again, other = (seen(trainer(seed, epochs=3), 24) for seed in (0, 0, 1))
    assert len(first) == 24
    assert first == again != other
    assert len({str(first[epoch : epoch + 8]) for epoch in (0, 8, 16)}) == 3, "epochs differ"


@pytest.mark.parametrize("flip", [False, True])
def test_a_run_may_take_up_its_feed_where_another_broke_off(trainer, flip: bool) -> None:
    whole, broken = trainer(3, flip=flip), trainer(3, flip=flip)
    expected = seen(whole, 24)
    before = seen(broken, 13)
    rest = [
        batch.labels.tolist()
        for epoch, start in ((2, 13 - 8), (3, 0))
        for batch in trainer(3).train.shuffled(8, 3, epoch, flip, start)
    ]
    assert before + rest == expected


def validated(run: Trainer) -> Validation:
    return validate(run.vae, run.objective, run.update.autocast, run.validation, 8, run.seed)


def scripted(monkeypatch: pytest.MonkeyPatch, losses: list[float]) -> None:
    """Let the validations of a training find these losses, one an epoch."""
    found = iter(losses)

    def validate(*_: object) -> Validation:
        return Validation({"loss": next(found)}, [0.0], 0)

    monkeypatch.setattr(loop, "validate", validate)


def test_validation_is_at_the_final_beta_while_training_warms_up(trainer) -> None:
    run = trainer(epochs=1, loss={"beta": 5.0, "schedules": {"beta": WARMUP}})
    (record,) = epochs(run)
    valid = record.validation
    assert valid["loss"] == pytest.approx(valid["mse"] + 5.0 * valid["kl"], rel=1e-5)
    assert record.beta == pytest.approx(5.0 * 7 / 80), "the beta of the eighth update"


def test_validation_does_not_change_what_it_measures(trainer) -> None:
    run = trainer()
    before = {name: value.clone() for name, value in run.vae.state_dict().items()}
    assert validated(run) == validated(run)
    assert all(torch.equal(before[k], v) for k, v in run.vae.state_dict().items())


def test_early_stopping_waits_for_its_patience_and_keeps_the_best(trainer, monkeypatch) -> None:
    run = trainer(epochs=50, lr=1e-3, early_stop_patience=3)
    scripted(monkeypatch, [5.0, 3.0, 4.0, 4.0, 4.0, 1.0])
    states, history = [], []
    for event in run.run():
        if isinstance(event, Epoch):
            history.append(event)
            states.append({name: value.clone() for name, value in run.vae.state_dict().items()})
    assert [record.best for record in history] == [True, True, False, False, False]
    assert history[-1].stopped_early and run.best.epoch == 2
    kept = run.weights()
    for name, index in (("best", 1), ("last", 4)):
        assert all(torch.equal(kept[name][key], value) for key, value in states[index].items())
    assert not all(torch.equal(kept["best"][key], value) for key, value in kept["last"].items())


def test_the_fid_chooses_every_few_epochs_and_at_the_end(trainer, monkeypatch) -> None:
    found = iter([4.0, 2.0, 3.0])
    run = trainer(epochs=5, best_by="fid", fid_every=2, fid=lambda vae: next(found))
    history = epochs(run)
    assert [record.fid for record in history] == [None, 4.0, None, 2.0, 3.0]
    assert [record.best for record in history] == [False, True, False, True, False]
    assert run.best.epoch == 4 and run.best.value == 2.0


def test_a_choice_by_fid_needs_somebody_who_measures_it(trainer) -> None:
    with pytest.raises(ValueError, match="best_by"):
        trainer(best_by="fid")


def test_the_plateau_lowers_the_learning_rate(trainer, monkeypatch) -> None:
    run = trainer(epochs=4, scheduler="plateau", lr_patience=0, lr_factor=0.5)
    scripted(monkeypatch, [1.0] * 4)
    assert [record.lr for record in epochs(run)] == [1e-3, 1e-3, 5e-4, 2.5e-4]


def test_weight_decay_is_decoupled_under_adamw(trainer) -> None:
    assert isinstance(trainer(optimizer="adamw").update.optimizer, torch.optim.AdamW)
    assert not isinstance(trainer(optimizer="adam").update.optimizer, torch.optim.AdamW)


@pytest.mark.parametrize("term", ["mse", "l1", "kl"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_term_that_is_no_number_stops_training(trainer, term: str, value: float) -> None:
    run = trainer(epochs=2)
    real, calls = run.objective.terms, []

    def poisoned(*arguments: Tensor) -> dict[str, Tensor]:
        terms = real(*arguments)
        calls.append(1)
        if len(calls) >= 5:
            terms[term] = terms[term] * value
        return terms

    run.objective.terms = poisoned
    with pytest.raises(UserError) as caught:
        epochs(run)
    text = str(caught.value)
    for part in ("variant x, seed 0", f"'{term}'", "update 5", "epoch 1", "lr 0.001", "train.lr"):
        assert part in text, text


def test_clipping_bounds_the_gradient(trainer) -> None:
    run = trainer(grad_clip=0.01)
    next(run.run())
    norm = torch.stack([p.grad.square().sum() for p in run.vae.parameters()]).sum().sqrt()
    assert norm <= 0.0101


def test_bf16_learns_with_weights_in_fp32(trainer) -> None:
    run = trainer(precision="bf16", epochs=12, lr=3e-3)
    history = epochs(run)
    assert history[-1].validation["loss"] < 0.7 * history[0].validation["loss"]
    assert {weight.dtype for weight in run.vae.parameters()} == {torch.float32}


def test_a_record_becomes_rows(trainer) -> None:
    (record,) = epochs(trainer(epochs=1))
    rows = {(split, term): value for _, _, split, term, value in record.rows()}
    assert rows["schedule", "lr"] == 1e-3
    validation = {term for split, term in rows if split == "validation"}
    assert validation == {"mse", "l1", "kl", "loss", "active_units"}
    assert rows["train", "gradient"] > 0


ADVERSARIAL = {"weights": {"adversarial": 1.0}, "schedules": {"adversarial": {"start": 1.0}}}


def test_the_adversary_joins_when_it_is_due(trainer) -> None:
    first, second = epochs(trainer(epochs=2, loss=ADVERSARIAL))
    assert not {"adversarial", "discriminator"} & set(first.train)
    assert {"adversarial", "discriminator"} <= set(second.train)
    assert not {"adversarial", "discriminator"} & set(second.validation)
    assert set(second.validation) == set(first.validation), "or the two could not be compared"


def test_before_it_joins_nothing_tells_that_there_is_an_adversary(trainer) -> None:
    alone, (first, _) = epochs(trainer(epochs=1)), epochs(trainer(epochs=2, loss=ADVERSARIAL))
    assert alone[0].train == first.train and alone[0].validation == first.validation


@pytest.mark.parametrize("fakes", ["reconstructions", "samples", "both"])
@pytest.mark.parametrize("adaptive", [True, False])
def test_an_adversarial_run_learns_and_repeats_itself(trainer, fakes: str, adaptive: bool) -> None:
    loss = {"weights": {"adversarial": 0.1}, "adversarial": {"fakes": fakes, "adaptive": adaptive}}
    runs = [trainer(epochs=8, lr=3e-3, loss=loss) for _ in range(2)]
    one, two = (epochs(run) for run in runs)
    assert one == two
    assert one[-1].validation["mse"] < one[0].validation["mse"]
    assert one[-1].train["discriminator"] > 0


def forward(run: Trainer, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    """Terms and reconstructions of a batch."""
    noise = torch.randn(len(batch.images), run.vae.latent_dim, generator=run.update.noise)
    return measure(run.vae, run.objective, run.update.autocast, batch, noise)[:2]


def test_the_adaptive_weight_balances_both_pulls_at_the_last_layer(trainer) -> None:
    run = trainer(loss={"weights": {"adversarial": 0.5}})
    batch = next(run.train.shuffled(8, 0, 1))
    terms, reconstructions = forward(run, batch)
    terms["adversarial"] = run.update.contest.adversary.term(reconstructions)
    means = terms["mse"].mean(), terms["adversarial"].mean()
    last = run.vae.decoder.last_weight
    mse, adversarial = (torch.autograd.grad(mean, last, retain_graph=True)[0] for mean in means)
    pull, weight = run.update.contest.pull(reconstructions, *means, 0)
    assert float(weight * adversarial.norm()) == pytest.approx(0.5 * float(mse.norm()), rel=0.01)
    (both,) = torch.autograd.grad(reconstructions, last, pull)
    torch.testing.assert_close(both, mse + weight * adversarial)


def test_an_adversarial_weight_needs_an_adversary(trainer, loss_config, train_config) -> None:
    run = trainer()
    loss = loss_config(weights={"adversarial": 1.0})
    target = Objective(loss, 256, 4, Span(8, 3), None)
    with pytest.raises(ValueError, match="no adversary"):
        Trainer(run.vae, target, train_config(), run.train, run.validation, 0, "x")


def test_a_discriminator_that_is_no_number_stops_training(trainer) -> None:
    run = trainer(loss={"weights": {"adversarial": 1.0}})
    nothing = {"discriminator": torch.tensor(float("nan"))}
    run.update.contest.adversary.backward = lambda reals, fakes, step: nothing
    with pytest.raises(UserError, match="'discriminator'"):
        epochs(run)


def test_the_controller_brings_the_kl_to_its_share(trainer) -> None:
    run = trainer(epochs=60, lr=3e-3, loss={"beta": 50.0, "kl_share": 0.1})
    last = epochs(run)[-1]
    kl, mse = last.beta * last.train["kl"], last.train["mse"]
    assert 0 < last.beta < 50
    assert kl / (kl + mse) == pytest.approx(0.1, rel=0.3)


def test_the_cosine_moves_with_every_update(trainer) -> None:
    run = trainer(epochs=4, scheduler="cosine", lr_warmup=0.25)
    rates = [record.lr for record in epochs(run)]
    expected = [
        1e-3 * lr_factor("cosine", step, Span(8, 4), 0.25, 0.5, 1) for step in (7, 15, 23, 31)
    ]
    assert rates == pytest.approx(expected)


def test_the_steps_fall_after_their_epochs(trainer) -> None:
    run = trainer(epochs=4, scheduler="step", lr_every=2, lr_factor=0.1)
    assert [record.lr for record in epochs(run)] == pytest.approx([1e-3, 1e-3, 1e-4, 1e-4])


def test_the_controller_waits_while_there_is_no_loss(trainer) -> None:
    """0 of 0 is no share: nothing to reconstruct yet, and a bound on beta that starts at 0."""
    rise = {"beta": {"shape": "linear", "length": 2.0}}
    run = trainer(epochs=2, loss={"beta": 5.0, "kl_share": 0.1, "schedules": rise})
    run.objective.reconstruction = lambda terms, step=None: 0 * terms["mse"]
    assert all(record.beta >= 0 for record in epochs(run))


def test_dropout_is_a_function_of_the_seed_too(trainer, model_config) -> None:
    """Whatever else drew from the global generator before."""
    histories = []
    for drawn in (0, 3):
        torch.rand(drawn)
        run = trainer(model={"family": "mlp", "widths": [16, 8], "dropout": 0.5})
        state = torch.random.get_rng_state()
        histories.append(epochs(run))
        assert torch.equal(state, torch.random.get_rng_state()), "and it is left as it was"
    assert histories[0] == histories[1]
    plain = trainer(model={"family": "mlp", "widths": [16, 8], "dropout": 0.0})
    assert epochs(plain) != histories[0]


def test_a_confident_mistake_has_a_gradient_in_bf16(trainer) -> None:
    """bf16 would round its sigmoid to 1, where cross-entropy is flat."""
    run = trainer(precision="bf16", loss={"weights": {"mse": 0.0, "bce": 1.0}})
    torch.nn.init.zeros_(run.vae.decoder.last_weight)
    torch.nn.init.constant_(run.vae.decoder.head.bias, 8.0)
    batch = next(run.train.shuffled(8, 0, 1))
    terms, _ = forward(run, batch)
    terms["bce"].sum().backward()
    dark = batch.images.numel() - float(batch.images.sum())
    assert float(run.vae.decoder.head.bias.grad) == pytest.approx(dark, rel=0.01)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_validation_that_is_no_number_stops_training(trainer, monkeypatch, value) -> None:
    """Or no epoch would ever be the best, and there were no weights to keep."""
    scripted(monkeypatch, [1.0, value])
    with pytest.raises(UserError, match="validation, 'loss'"):
        epochs(trainer(epochs=3))
