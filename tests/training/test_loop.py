"""The loop learns, stops, keeps the best, repeats itself, and refuses NaN."""

from __future__ import annotations

from itertools import islice

import pytest
import torch
from torch import Tensor

from sharpvae.datasets.batches import Batch
from sharpvae.errors import UserError
from sharpvae.networks.vae import VAE
from sharpvae.objective.objective import Objective
from sharpvae.randomness import global_seed
from sharpvae.training.loop import Trainer
from sharpvae.training.records import Epoch, Step
from tests.feeds import feed_of


def bars(count: int, seed: int) -> Tensor:
    """Images of one bright bar each: little data that a VAE can learn.  uint8 (N, 1, 16, 16)"""
    random = torch.Generator().manual_seed(seed)
    images = torch.zeros(count, 1, 16, 16, dtype=torch.uint8)
    for image in images:
        row = int(torch.randint(0, 14, (), generator=random))
        image[0, row : row + 2] = 255
    return images


@pytest.fixture
def trainer(model_config, loss_config, train_config):
    def build(seed: int = 0, loss: dict | None = None, **changes) -> Trainer:
        with global_seed(seed, "weights"):
            vae = VAE(model_config(), 1, 16)
        config = train_config(**changes)
        target = Objective(loss_config(**{"beta": 0.1, **(loss or {})}), None, epoch_steps=8)
        train, validation = feed_of(bars(64, 0), torch.arange(64)), feed_of(bars(16, 1))
        return Trainer(vae, target, config, train, validation, seed, "variant x, seed 0")

    return build


def epochs(trainer: Trainer) -> list[Epoch]:
    return [event for event in trainer.run() if isinstance(event, Epoch)]


def test_the_loss_falls(trainer) -> None:
    history = epochs(trainer(epochs=12, lr=3e-3))
    assert history[-1].validation["loss"] < 0.6 * history[0].validation["loss"]
    assert history[-1].last


def test_steps_and_epochs_are_counted(trainer) -> None:
    events = list(trainer(epochs=2, batch_size=10).run())
    assert [e for e in events if isinstance(e, Step)][-1] == Step(2, 6, 6, 10)
    assert [e.step for e in events if isinstance(e, Epoch)] == [6, 12]


def test_the_same_seed_gives_the_same_weights_and_another_does_not(trainer) -> None:
    runs = [trainer(seed) for seed in (0, 0, 1)]
    histories = [epochs(run) for run in runs]
    first, second, other = (run.vae.state_dict() for run in runs)
    assert histories[0] == histories[1] != histories[2]
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def seen(run: Trainer, updates: int) -> list[list[int]]:
    """Train; the labels, here the positions, of each of the first `updates` batches."""
    batches, update = [], run._update

    def noted(batch: Batch) -> dict[str, Tensor]:
        batches.append(batch.labels.tolist())
        return update(batch)

    run._update = noted
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


def test_validation_is_at_the_final_beta_while_training_warms_up(trainer) -> None:
    run = trainer(epochs=1, loss={"beta": 5.0, "anneal_epochs": 10.0})
    (record,) = epochs(run)
    valid = record.validation
    assert valid["loss"] == pytest.approx(valid["mse"] + 5.0 * valid["kl"], rel=1e-5)
    assert record.beta == pytest.approx(5.0 * 7 / 80), "the beta of the eighth update"


def test_validation_does_not_change_what_it_measures(trainer) -> None:
    run = trainer()
    before = {name: value.clone() for name, value in run.vae.state_dict().items()}
    assert run.validate() == run.validate()
    assert all(torch.equal(before[k], v) for k, v in run.vae.state_dict().items())


def test_early_stopping_waits_for_its_patience_and_keeps_the_best(trainer) -> None:
    run = trainer(epochs=50, lr=1e-12, early_stop_patience=3)
    losses = iter([5.0, 3.0, 4.0, 4.0, 4.0, 1.0])
    states = []

    def scripted() -> dict[str, float]:
        states.append({name: value.clone() for name, value in run.vae.state_dict().items()})
        return {"loss": next(losses)}

    run.validate = scripted
    history = epochs(run)
    assert [record.best for record in history] == [True, True, False, False, False]
    assert history[-1].stopped_early and run.best_epoch == 2
    kept = run.vae.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in states[1].items())
    assert not all(torch.equal(kept[name], value) for name, value in states[4].items())


def test_without_early_stopping_the_last_weights_stay(trainer) -> None:
    run = trainer(epochs=3)
    losses = iter([1.0, 2.0, 3.0])
    run.validate = lambda: {"loss": next(losses)}
    epochs(run)
    assert run.best_state == {}


def test_the_plateau_lowers_the_learning_rate(trainer) -> None:
    run = trainer(epochs=4, scheduler="plateau", plateau_patience=0, plateau_factor=0.5)
    run.validate = lambda: {"loss": 1.0}
    assert [record.lr for record in epochs(run)] == [1e-3, 1e-3, 5e-4, 2.5e-4]


def test_weight_decay_is_decoupled_under_adamw(trainer) -> None:
    assert isinstance(trainer(optimizer="adamw").optimizer, torch.optim.AdamW)
    assert not isinstance(trainer(optimizer="adam").optimizer, torch.optim.AdamW)


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
    assert {term for split, term in rows if split == "validation"} == {"mse", "l1", "kl", "loss"}
