"""The names under which the numbers of a training are logged, the same with every logger."""

from __future__ import annotations

from sharpvae.training.records import Epoch, Step


def update_curves(record: Step) -> dict[str, float]:
    """`updates/<name>` of one update; empty where nobody looked at its numbers."""
    return {f"updates/{name}": value for name, value in (record.numbers or {}).items()}


def epoch_curves(record: Epoch) -> dict[str, float]:
    """`<split>/<term>` of one epoch: train, validation, schedule, latent.

    Values have the eight digits of history.csv, so that curves drawn again from there are the same.
    """
    return {f"{split}/{term}": float(f"{value:.8g}") for _, _, split, term, value in record.rows()}
