"""A training that broke off anywhere goes on to the very same weights."""

from __future__ import annotations

import io
from itertools import count, islice
from typing import Any

import pytest
import torch

from sharpvae.training.loop import Epoch, Trainer

MLP = {"family": "mlp", "widths": [16, 8], "dropout": 0.5}
ADVERSARIAL = {"weights": {"adversarial": 0.1}, "schedules": {"adversarial": {"start": 1.0}},
               "adversarial": {"fakes": "both"}}  # fmt: skip
WHOLE = {"weights": {"adversarial": 0.1, "matching": 0.05},
         "schedules": {"adversarial": {"start": 1.0}},
         "adversarial": {"fakes": "samples", "codes": "aggregate", "heads": "both", "r1": 0.1,
                         "r1_every": 3, "augment": ["translation"]}}  # fmt: skip
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "cosine, flips, EMA": {"scheduler": "cosine", "lr_warmup": 0.3, "flip": True, "ema": 0.9},
    "plateau, stopping": {
        "scheduler": "plateau", "lr_patience": 0, "early_stop_patience": 1, "lr": 3e-2,
    },
    "pieces, clipping": {"accumulate": 2, "grad_clip": 0.1, "optimizer": "adamw"},
    "adversary": {"loss": ADVERSARIAL},
    "adversary of the whole image": {"loss": WHOLE},
    "controller": {"loss": {"beta": 5.0, "kl_share": 0.1}},
    "dropout": {"model": MLP},
    "bf16": {"precision": "bf16"},
    "lion": {"optimizer": "lion", "lr": 1e-4, "scheduler": "cosine"},
    "adan": {"optimizer": "adan", "accumulate": 2},
    "muon": {"optimizer": "muon", "precision": "bf16", "scheduler": "plateau"},
}  # fmt: skip


def through_disk(state: dict[str, Any]) -> dict[str, Any]:
    """As a checkpoint does it: no code, no sharing with what lives on."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def finish(run: Trainer) -> tuple[list[Epoch], dict[str, dict[str, torch.Tensor]]]:
    list(run.run())
    return run.history, run.weights()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("events", [1, 7, 8, 9, 20])
def test_it_goes_on_to_the_same_weights_bit_for_bit(trainer, kind: str, events: int) -> None:
    """Broken off within an epoch, before its validation, right after it, and twice."""
    expected = finish(trainer(epochs=3, **KINDS[kind]))
    state = None
    for _ in range(2):
        broken = trainer(epochs=3, **KINDS[kind])
        if state is not None:
            broken.load_state_dict(state)
        list(islice(broken.run(), events))
        state = through_disk(broken.state_dict())
    resumed = trainer(epochs=3, **KINDS[kind])
    resumed.load_state_dict(state)
    history, weights = finish(resumed)
    assert history == expected[0]
    assert all(same(weights[name], expected[1][name]) for name in ("best", "last"))


def test_a_finished_run_stays_finished(trainer) -> None:
    done = trainer(epochs=2)
    expected = finish(done)
    again = trainer(epochs=2)
    again.load_state_dict(through_disk(done.state_dict()))
    assert list(again.run()) == [] and again.finished
    assert again.history == expected[0]
    assert same(again.weights()["last"], expected[1]["last"])


def test_the_fid_is_not_measured_twice(trainer) -> None:
    measured = count()
    kind = {"best_by": "fid", "fid_every": 1, "fid": lambda vae: float(next(measured))}
    broken = trainer(epochs=3, **kind)
    list(islice(broken.run(), 9))
    resumed = trainer(epochs=3, **kind)
    resumed.load_state_dict(through_disk(broken.state_dict()))
    history, _ = finish(resumed)
    assert [record.fid for record in history] == [0.0, 1.0, 2.0] and resumed.best.epoch == 1


def test_the_state_does_not_follow_what_happens_later(trainer) -> None:
    """Written out at once, it may share memory; kept, it must have gone through the disk."""
    run = trainer(epochs=2)
    events = run.run()
    list(islice(events, 3))
    state = through_disk(run.state_dict())
    before = {name: value.clone() for name, value in state["update"]["vae"].items()}
    list(islice(events, 3))
    assert same(state["update"]["vae"], before)
