"""The average of the weights, against its definition."""

from __future__ import annotations

import pytest
import torch

from sharpvae.training.loop import Epoch


def test_it_follows_the_weights_by_its_definition(trainer) -> None:
    run = trainer(epochs=1, ema=0.5)
    name = "decoder.stem.0.weight"
    expected = run.vae.state_dict()[name].double().clone()
    for step, _ in enumerate((event for event in run.run()), start=1):
        if step > 8:
            break  # the record of the epoch
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * run.vae.state_dict()[name].double()
        found = run.average.vae.state_dict()[name].double()
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    assert decay == pytest.approx(0.5)


def test_it_is_what_is_validated_and_kept(trainer) -> None:
    """Learning slowly, the average lags behind, so its loss is the greater one."""
    plain, averaged = trainer(epochs=2, lr=3e-3), trainer(epochs=2, lr=3e-3, ema=0.99)
    records = [[e for e in run.run() if isinstance(e, Epoch)] for run in (plain, averaged)]
    assert records[0][0].train == records[1][0].train, "the learning itself is the same"
    assert records[1][0].validation["loss"] > records[0][0].validation["loss"]
    kept = averaged.weights()["last"]
    assert all(torch.equal(kept[k], v) for k, v in averaged.average.vae.state_dict().items())
    assert not torch.equal(kept["encoder.mean.weight"], averaged.vae.encoder.mean.weight)


def test_the_statistics_of_batch_norm_are_averaged_and_counters_copied(trainer) -> None:
    run = trainer(epochs=1, ema=0.9)
    list(run.run())
    learning, average = run.vae.state_dict(), run.average.vae.state_dict()
    means = [name for name in learning if name.endswith("running_mean")]
    assert means and not any(torch.equal(learning[name], average[name]) for name in means)
    counters = [name for name in learning if name.endswith("num_batches_tracked")]
    assert counters and all(torch.equal(learning[name], average[name]) for name in counters)
