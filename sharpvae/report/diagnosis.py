"""What is wrong with a variant's images, and which change to try next.

The thresholds are rules of thumb, no tests: they say where to look first.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from math import ceil
from typing import Any, NamedTuple

from sharpvae.report.evidence import Evidence, ScoredRun
from sharpvae.report.numerals import fixed, short, thousands
from sharpvae.report.scores import Comparison
from sharpvae.report.verdict import NEARLY, collapse

BLURRED = 0.3  # px, from which the eye sees it
APART = 1.5  # FID of samples over that of reconstructions, from which the prior is at fault
FEW = 2000  # updates


class Finding(NamedTuple):
    """One fault and its cure."""

    variant: str
    text: str
    command: str  # to paste into a shell; "" where there is nothing to set


def diagnose(evidence: Evidence, comparison: Comparison) -> list[Finding]:
    """The findings on every variant, in the order in which to follow them."""
    found = []
    for name in comparison.variants:
        own = _Case(comparison, name, evidence.stage.variants[name], evidence.runs[name][0])
        found += own.findings()
    return found


class _Case(NamedTuple):
    """One variant; its training is told by the first seed."""

    comparison: Comparison
    name: str
    config: Mapping[str, Any]
    run: ScoredRun

    def findings(self) -> list[Finding]:
        if self.comparison.collapsed(self.name):
            return [self._try(collapse(self.comparison, self.name), **self._beta(0.25))]
        checks = (
            self._signal(),
            self._training(),
            self._decoder(),
            self._prior(),
            self._artefact(),
        )
        return [finding for finding in checks if finding is not None]

    def _mean(self, key: str) -> float | None:
        return self.comparison.mean(self.name, key)

    def _try(self, text: str, **settings: Any) -> Finding:
        """A finding with the command that changes `settings`, dots written as two underscores."""
        parts = [
            shlex.quote(f"++variants.{self.name}.{key.replace('__', '.')}={short_value(value)}")
            for key, value in settings.items()
        ]
        return Finding(self.name, text, f"dvc exp run -S {' -S '.join(parts)}" if parts else "")

    def _beta(self, factor: float) -> dict[str, float]:
        beta = self.config["loss"]["beta"]
        return {"loss__beta": beta * factor} if beta > 0 else {}

    def _signal(self) -> Finding | None:
        if self._mean("signal_axes") != 0:
            return None
        return self._try(
            "No axis of the codes carries a signal above a tenth of the noise: a lower beta lets "
            "them tell more.",
            **self._beta(0.25),
        )

    def _training(self) -> Finding | None:
        summary, train = self.run.summary, self.config["train"]
        if not summary.still_falling and (summary.stopped_early or summary.steps >= FEW):
            return None
        wanted = summary.updates_wanted or summary.steps
        if summary.still_falling:
            text = "It stopped while its validation loss was still falling"
            if summary.updates_wanted is not None:
                text += f", which would likely take {thousands(wanted)} updates more"
        else:
            text = f"It had {thousands(summary.steps)} updates only"
        text += ". What is said below may change."
        if train["updates"] is not None:
            return self._try(text, train__updates=summary.steps + wanted)
        return self._try(text, train__epochs=ceil(train["epochs"] * (1 + wanted / summary.steps)))

    def _decoder(self) -> Finding | None:
        blur, bottom = self._mean("blur_px"), self._mean("blur_px_reconstruction")
        if blur is None or bottom is None or blur < BLURRED or bottom < NEARLY * blur:
            return None
        text = (
            f"Reconstructions are nearly as blurred as samples ({fixed(bottom, 2)} and "
            f"{fixed(blur, 2)} px): the decoder, or what its loss asks for."
        )
        weights = self.config["loss"]["weights"]
        for term in ("perceptual", "adversarial"):
            if not weights[term] and not (term == "perceptual" and weights["lpips"]):
                # the validation loss leaves an adversary out, so may choose no epoch beside it
                chosen = {"train__best_by": "fid"} if term == "adversarial" else {}
                return self._try(text, **{f"loss__weights__{term}": 0.5, **chosen})
        return self._try(text, model__width_scale=2 * self.config["model"]["width_scale"])

    def _prior(self) -> Finding | None:
        shown, bottom = self._mean("fid"), self._mean("fid_reconstruction")
        if shown is None or bottom is None or shown <= APART * bottom:
            return None
        text = (
            f"Samples are much worse than reconstructions (FID {short(shown)} and "
            f"{short(bottom)}): codes do not lie where the {self.run.scores.headline} draws."
        )
        unseen = {
            kind: self.comparison.validation_fid(self.name, f"fid_{kind}")
            for kind in ("mixture", "flow")
        }
        best = min(unseen, key=unseen.__getitem__)
        if unseen[best] < self.comparison.validation_fid(self.name) / APART:
            text += (
                f" The {best} draws better ones already, FID {short(unseen[best])} in validation."
            )
            return self._try(text, sample__prior=best)
        return self._try(text, **self._beta(2.0))

    def _artefact(self) -> Finding | None:
        kind = self.run.scores.artefacts.get("headline")
        if kind is None:
            return None
        text = f"Samples show an artefact: {kind}."
        transposed = self.config["model"]["upsampling"] == "transposed"
        return self._try(text, **{"model__upsampling": "nearest"} if transposed else {})


def short_value(value: Any) -> str:
    """A setting's value as it is written in a command."""
    return f"{value:g}" if isinstance(value, float) else str(value)
