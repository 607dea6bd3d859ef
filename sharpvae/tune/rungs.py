"""Scores of a training under way, by which it goes on or is given up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sharpvae.core.seeds import generator
from sharpvae.images.feed import Feed
from sharpvae.images.packed import load_card, load_split
from sharpvae.sampling.codes import codes_of
from sharpvae.sampling.config import SampleConfig
from sharpvae.sampling.mixture import fit_mixture
from sharpvae.scoring.config import MetricsConfig
from sharpvae.scoring.evaluate import Panel
from sharpvae.scoring.scores import score
from sharpvae.training.config import TrainStage
from sharpvae.vae.draw import asked_labels, decode, prior_noise
from sharpvae.vae.vae import VAE, load_vae

CODES = 2000  # training images whose codes the Gaussian is fitted to


class Rungs:
    """Scores samples of checkpoints against the validation images, as `evaluate` will at the end.

    There are as many samples as validation images. Where the headline samples will be drawn from a
    fitted density these are drawn from its simplest, one Gaussian, which takes no time to fit.

    Args:
        stage, sample, metrics: of the trial.
        place: with data/prepared and models/reference.
        seed: of the training.
        device: to sample and to score on.
    """

    def __init__(
        self, stage: TrainStage, sample: SampleConfig, metrics: MetricsConfig, place: Path,
        seed: int, device: torch.device,
    ) -> None:  # fmt: skip
        prepared = place / "data/prepared"
        self.stage, self.metrics, self.seed, self.device = stage, metrics, seed, device
        self.batch_size, self.normal = sample.batch_size, sample.prior == "normal"
        one = {"components": [1], "draws": CODES}
        self.gaussian = sample.mixture.model_copy(update=one)
        self.train = Feed(load_split(prepared, "train"), device)
        split = load_split(prepared, "validation")
        self.validation = Feed(split, device)
        self.panel = Panel(metrics, place / "models/reference", split.images.shape[1:], device)
        self.reals = self.panel.reals("validation", split.images)
        card = load_card(prepared)
        self.count, self.classes = sample.drawn(card.counts["test"]), len(card.class_names or ())

    @torch.no_grad()
    def __call__(self, state: Mapping[str, Any]) -> dict[str, float | None]:
        """Score -> value, of the `state` of a checkpoint; None where there is no such score."""
        train, average = self.train, state["average"]
        vae = VAE(self.stage.model, train.channels, train.image_size, self.classes)
        vae.load_state_dict(state["update"]["vae"] if average is None else average)
        vae = vae.to(self.device).eval()
        count, labels = self.validation.count, self.validation.labels
        asked = None if labels is None else asked_labels(labels, count, self.seed)
        if self.normal:
            return self._scored(vae, prior_noise(vae, count, self.seed), asked)
        known = [
            codes_of(vae, feed, CODES, self.batch_size, self.seed)
            for feed in (self.train, self.validation)
        ]
        fitted, _ = fit_mixture(known[0], known[1], self.gaussian, self.seed)
        codes = fitted.sample(count, generator(self.seed, "mixture"), asked)
        return self._scored(vae, codes, asked)

    @torch.no_grad()
    def at_the_end(self, folder: Path) -> dict[str, float | None]:
        """The same of what `train` wrote, to the bit as `evaluate` scores its draws from N(0, I).

        Without the densities that `sample` fits and the test images, which a trial has no use for.
        """
        vae, labels = load_vae(folder, self.device), self.train.labels
        asked = None if labels is None else asked_labels(labels, self.count, self.seed)
        return self._scored(vae, prior_noise(vae, self.count, self.seed), asked)

    def _scored(self, vae: VAE, codes: Tensor, labels: Tensor | None) -> dict[str, float | None]:
        images = decode(vae, codes, labels if vae.classes else None, self.batch_size)
        return score(self.panel.look(images), self.reals, self.metrics).values
