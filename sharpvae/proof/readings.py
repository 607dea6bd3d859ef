"""The scores of one arm, from the files that its stages wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sharpvae.core.artefacts import load_artefact
from sharpvae.report.artefacts import Cost, Reference, Summary
from sharpvae.report.comparison import Comparison
from sharpvae.report.scores import BY_KEY, load_scores
from sharpvae.report.statistics import Reading

SECONDS = "seconds"  # of training; the one that is no score


class ArmReadings(NamedTuple):
    """What was measured on one arm."""

    scores: dict[str, list[Reading]]  # score -> one a seed
    reasons: dict[str, str]  # score -> why there is none
    weights: Mapping[str, float]  # of the judges
    updates: int  # the mean over the seeds


def read_arm(root: Path, arm: str, seeds: Sequence[int], keys: Iterable[str]) -> ArmReadings:
    """Read what the stages wrote below `root`.

    Args:
        keys: of scores, or `SECONDS`.

    Raises:
        UserError: a file is missing, or is not what its stage writes.
    """
    reference = load_artefact(root / "models/reference/reference.json", Reference)
    folder, live = root / "reports/scores" / arm, root / "reports/live" / arm
    runs = [load_scores(folder / str(seed) / "scores.json") for seed in seeds]
    comparison = Comparison(tuple(seeds), {arm: runs}, reference.weights)
    scores: dict[str, list[Reading]] = {}
    reasons: dict[str, str] = {}
    for key in keys:
        if key == SECONDS:
            costs = [load_artefact(live / str(seed) / "cost.json", Cost) for seed in seeds]
            scores[key] = [Reading.alone(cost.seconds) for cost in costs]
        elif found := comparison.readings(arm, BY_KEY[key]):
            scores[key] = found
        else:
            reasons[key] = comparison.reason(arm, key) or "no such score"
    ends = [load_artefact(folder / str(seed) / "summary.json", Summary) for seed in seeds]
    updates = round(sum(end.steps for end in ends) / len(ends))
    return ArmReadings(scores, reasons, reference.weights, updates)
