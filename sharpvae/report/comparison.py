"""The scores of all variants over the seeds, and what changes from one to another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import exp, inf, log
from statistics import fmean

from sharpvae.core.config import GIVEN
from sharpvae.report.artefacts import Scores
from sharpvae.report.scores import BY_KEY, OPTIONAL, STEP, TABLE, Metric
from sharpvae.report.statistics import (
    FID_FLOOR,
    Effect,
    Interval,
    Reading,
    Verdict,
    correct,
    interval,
    paired_effect,
    verdict_of,
)

MOST = 10  # variants that a page has room and colours for


@dataclass(frozen=True)
class Comparison:
    """All variants' scores over the seeds, in the order of the configuration."""

    seeds: tuple[int, ...]
    runs: Mapping[str, Sequence[Scores]]  # variant -> one per seed
    weights: Mapping[str, float]  # of the judges

    @cached_property
    def variants(self) -> list[str]:
        """Those that are shown beside each other; the first is the baseline.

        Of more than MOST they are the first and the best of the others.
        """
        best = self.ranked[:MOST]
        return [name for name in self.runs if name in best]

    @cached_property
    def ranked(self) -> list[str]:
        """The first, then all others by their FID of the validation split, collapsed ones last."""
        baseline, *others = self.runs
        key = {name: (bool(self.collapsed(name)), self.validation_fid(name)) for name in others}
        return [baseline, *sorted(others, key=key.__getitem__)]

    def estimate(self, variant: str, key: str) -> Interval | None:
        """The mean of a score and its interval; None where a seed has no such score."""
        if (variant, key) not in self._estimates:  # of many variants few are asked for
            self._estimates[variant, key] = self._interval(variant, BY_KEY[key])
        return self._estimates[variant, key]

    @cached_property
    def _estimates(self) -> dict[tuple[str, str], Interval | None]:
        return {}

    @property
    def elsewhere(self) -> list[str]:
        """The variants that are images made elsewhere, the same for every seed."""
        return [name for name, runs in self.runs.items() if runs[0].headline == GIVEN]

    @property
    def given(self) -> bool:
        """Whether all are."""
        return len(self.elsewhere) == len(self.runs)

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Each variant with the one that it is a step from.

        Images that were made elsewhere stand in no order: each is compared with the baseline. Where
        not all variants are shown there are no steps.
        """
        if len(self.variants) < len(self.runs):
            return []
        baseline, *others = self.variants
        trained = [name for name in others if name not in self.elsewhere]
        steps = {name: before for before, name in pairwise([baseline, *trained])}
        return [(name, steps.get(name, baseline)) for name in others]

    def mean(self, variant: str, key: str) -> float | None:
        """The mean over the seeds, geometric for FID; None where a seed has no such score."""
        found = self.estimate(variant, key)
        return None if found is None else found.centre

    def validation_fid(self, variant: str, key: str = "fid") -> float:
        """The geometric mean over the seeds, of the validation split; infinite where one has none.

        Choices are made by it: a test score that chooses is no test any more.
        """
        found = [run.validation.get(key) for run in self.runs[variant]]
        known = [log(max(value, FID_FLOOR)) for value in found if value is not None]
        return exp(fmean(known)) if len(known) == len(found) else inf

    def has(self, key: str) -> bool:
        """Whether a score is shown: of `OPTIONAL` where one has it, else where it was asked for."""
        if key in OPTIONAL:
            return any(self.estimate(variant, key) for variant in self.runs)
        return any(key in run.scores for runs in self.runs.values() for run in runs)

    def reason(self, variant: str, key: str) -> str:
        """Why a variant has no such score; "" where it has, or where that goes without saying."""
        if self.estimate(variant, key) is not None:
            return ""
        return next((r.reasons[key] for r in self.runs[variant] if key in r.reasons), "")

    def collapsed(self, variant: str) -> list[int]:
        """The seeds whose model has collapsed."""
        runs = zip(self.seeds, self.runs[variant], strict=True)
        return [seed for seed, run in runs if run.collapsed]

    @cached_property
    def _effects(self) -> dict[tuple[str, str, str], Effect]:
        """(variant, another, score) -> its change against the other, corrected for their number."""
        baseline, *others = self.runs
        wanted = [(name, baseline, key) for name in others for key in TABLE]
        wanted += [
            (name, before, key) for name, before in self.steps if before != baseline for key in STEP
        ]
        found = {
            (name, other, key): effect
            for name, other, key in wanted
            if (effect := self._effect(name, other, BY_KEY[key])) is not None
        }
        return dict(zip(found, correct(list(found.values())), strict=True))

    @property
    def effects(self) -> dict[tuple[str, str], Effect]:
        """(variant, score) -> its change against the baseline."""
        baseline, found = self.variants[0], self._effects
        return {(name, key): found[name, other, key] for name, other, key in found
                if other == baseline}  # fmt: skip

    def step(self, variant: str, before: str, key: str) -> Effect | None:
        """The change of a score of `STEP` against the variant before."""
        return self._effects.get((variant, before, key))

    def change(self, variant: str, key: str) -> Verdict:
        """Whether a variant is shown to be better than the baseline, or worse."""
        effect = self.effects.get((variant, key))
        return "no difference shown" if effect is None else verdict_of(effect, BY_KEY[key].goal)

    def _effect(self, variant: str, baseline: str, metric: Metric) -> Effect | None:
        ours, theirs = (self.readings(name, metric) for name in (variant, baseline))
        if ours is None or theirs is None:
            return None
        if any(run.replicates is None for run in (*ours, *theirs)):
            ours, theirs = ([Reading(run.values) for run in runs] for runs in (ours, theirs))
        if metric.base == "fid":
            return paired_effect(ours, theirs, "ratio", weights=self.weights, floor=FID_FLOOR)
        return paired_effect(ours, theirs, "difference", goal=metric.goal)

    def _interval(self, variant: str, metric: Metric) -> Interval | None:
        runs = self.readings(variant, metric)
        if runs is None:
            return None
        if variant in self.elsewhere:
            runs = runs[:1]  # all seeds have these, and tell nothing of another training
        if metric.base == "fid":
            return interval(runs, "ratio", weights=self.weights, floor=FID_FLOOR)
        return interval(runs, "difference")

    def readings(self, variant: str, metric: Metric) -> list[Reading] | None:
        readings = []
        for run in self.runs[variant]:
            value, replicates = run.scores.get(metric.key), run.replicates.get(metric.key)
            if value is None:
                return None
            if metric.base == "fid":
                rows = replicates if isinstance(replicates, dict) else None
                readings.append(_panel(run.judges[metric.key], rows))
            else:
                single = replicates if isinstance(replicates, list) else None
                readings.append(Reading.alone(value, single))
        if any(reading.replicates is None for reading in readings):
            return [Reading(reading.values) for reading in readings]
        return readings


def _panel(values: Mapping[str, float], rows: Mapping[str, list[float]] | None) -> Reading:
    """Distances judge by judge; rounding may make one of equal images slightly negative."""
    own = {name: max(value, FID_FLOOR) for name, value in values.items()}
    if rows is None:
        return Reading(own)
    return Reading(own, {n: [max(value, FID_FLOOR) for value in row] for n, row in rows.items()})
