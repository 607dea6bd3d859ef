"""What is wrong with a variant's images, and which change to try next.

The thresholds are rules of thumb, no tests: they say where to look first.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from functools import partial
from math import ceil
from typing import Any, NamedTuple

from sharpvae.report.artefacts import Scores
from sharpvae.report.comparison import Comparison
from sharpvae.report.evidence import Evidence, ScoredRun, Training
from sharpvae.report.numerals import fixed, short, thousands
from sharpvae.report.verdict import NEARLY, collapse

BLURRED = 0.3  # px, from which the eye sees it
APART = 1.5  # FID of samples over that of reconstructions, from which the prior is at fault
FEW = 2000  # updates
DISTINCT = 0.99  # of the samples; fewer is no chance
COPIED = 0.05  # of the samples, from which it is no chance
COVERED = 0.8  # of the coverage of real images, below which something is missing
EXPOSED = 0.05  # of pixels in [0, 1]
AT_FLOOR = 1.5  # times the FID of real images, up to which nothing is left to mend

Mean = Callable[[str], float | None]  # a score, averaged over the seeds


class Finding(NamedTuple):
    """One fault and its cure."""

    variant: str
    text: str
    command: str  # to paste into a shell; "" where there is nothing to set


def diagnose(evidence: Evidence, comparison: Comparison) -> list[Finding]:
    """The findings on every variant, in the order in which to follow them."""
    found: list[Finding] = []
    for name in comparison.variants:
        run = evidence.runs[name][0]
        if run.training is None:
            found += [Finding(name, text, "") for text in of_images(comparison, name, evidence)]
        else:
            config = evidence.stage.variants[name]
            found += _Case(comparison, name, config, run, run.training).findings()
    return found


def of_images(comparison: Comparison, name: str, evidence: Evidence) -> list[str]:
    """The faults of images that somebody else made, and what mends each."""
    mean, real = partial(comparison.mean, name), evidence.floors["real"]
    found = [_repeats(mean), _copies(mean, real), _blur(mean)]
    found.append(_texture(evidence.runs[name][0].scores))
    if not any(found):  # repeats and blur keep samples from real images, and take contrast away
        found += [_missing(mean, real), _exposure(mean)]
    found = [text for text in found if text]
    shown, floor = mean("fid"), real["fid"]
    if not found and shown is not None and floor is not None:
        text = (
            f"FID {short(shown)}, where real images that no judge has learned from have "
            f"{short(floor)}"
        )
        if shown <= AT_FLOOR * floor:
            return [f"Nothing found: {text}."]
        return [
            f"{text}, though blur, texture, variety and exposure are right: look at the pictures "
            "for shapes that are wrong, and at which judge is farthest from its floor."
        ]
    return found


def _repeats(mean: Mean) -> str:
    share = mean("distinct")
    if share is None or share > DISTINCT:
        return ""
    return (
        f"Samples are repeated: different ones are {percent(share)} of their number. Where the "
        "decoder draws one image whatever the code, lower beta; where a file was written twice, "
        "write it anew."
    )


def _copies(mean: Mean, real: Mapping[str, float | None]) -> str:
    copied, usual = mean("copied"), real["copied"]
    if copied is None or usual is None or copied < max(COPIED, 3 * usual):
        return ""
    return (
        f"{percent(copied)} of the samples are as near to one of the real images as only "
        f"{percent(usual)} of other real images are: copies, if the model learned from those. "
        "Train for fewer epochs, on more images, or with a higher beta."
    )


def _blur(mean: Mean) -> str:
    blur, bottom = mean("blur_px"), mean("blur_px_reconstruction")
    if blur is None or blur < BLURRED:
        return ""
    text = f"The samples are as blurry as real images blurred by {fixed(blur, 2)} px. "
    decoder = (
        "try a loss that sees texture, perceptual or of an adversary, or a lower weight of the KL; "
        "more epochs alone seldom help."
    )
    if bottom is None:
        return text + (
            "Whether decoder or prior is the cause, reconstructions tell (sharpvae score "
            "--reconstructions). "
            f"If it is the decoder, {decoder}"
        )
    if bottom >= NEARLY * blur:
        return text + f"Reconstructions have {fixed(bottom, 2)} px: it is the decoder; {decoder}"
    return text + (
        f"Reconstructions have {fixed(bottom, 2)} px only: codes do not lie where the prior draws. "
        "Fit a mixture or a flow to the codes of training images and draw from that, or raise beta."
    )


def _texture(scores: Scores) -> str:
    kind = scores.artefacts.get("headline")
    if kind is None:
        return ""
    cure = {
        "checkerboard": "upsample by nearest neighbour and a convolution, not by a transposed one",
        "noise": "show means, not draws from the decoder's distribution; weaken the adversary",
    }[kind]
    return (
        f"The samples have an artefact, {kind}, that makes them look sharper than they are: {cure}."
    )


def _missing(mean: Mean, real: Mapping[str, float | None]) -> str:
    covered, usual = mean("coverage"), real["coverage"]
    if covered is None or usual is None or covered >= COVERED * usual:
        return ""
    return (
        f"They come near {percent(covered)} of the real images, where other real images come near "
        f"{percent(usual)}: kinds of images are missing, or none is quite right. Draw from a "
        "density fitted to the codes, or look whether the posterior has collapsed."
    )


def _exposure(mean: Mean) -> str:
    gaps = {"brightness": mean("brightness_gap"), "contrast": mean("contrast_gap")}
    told = [
        f"{key} differs by {fixed(gap, 2, True)}"
        for key, gap in gaps.items()
        if gap and abs(gap) > EXPOSED
    ]
    if not told:
        return ""
    return (
        f"Against real images, of pixels in [0, 1], {' and '.join(told)}: look whether both were "
        "scaled alike, and whether the output's last layer reaches black and white."
    )


def percent(share: float) -> str:
    """A share as a percentage with three significant digits."""
    return f"{100 * share:.3g}\N{NO-BREAK SPACE}%"


class _Case(NamedTuple):
    """One variant; its training is told by the first seed."""

    comparison: Comparison
    name: str
    config: Mapping[str, Any]
    run: ScoredRun
    training: Training

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
        summary, train = self.training.summary, self.config["train"]
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
        wider = {"model__width_scale": 2 * self.config["model"]["width_scale"]}
        own = "widths" not in self.config["model"]  # a network of the user's own
        return self._try(text, **{} if own else wider)

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
        transposed = self.config["model"].get("upsampling") == "transposed"
        return self._try(text, **{"model__upsampling": "nearest"} if transposed else {})


def short_value(value: Any) -> str:
    """A setting's value as it is written in a command."""
    return f"{value:g}" if isinstance(value, float) else str(value)
