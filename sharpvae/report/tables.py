"""Scores, settings, runs, protocol and data as tables and text."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from sharpvae.core.config import flatten, text
from sharpvae.images.packed import SPLITS, Card
from sharpvae.report.evidence import Evidence
from sharpvae.report.scores import (
    BY_KEY,
    GOAL_TEXT,
    MEANINGLESS_WHEN_COLLAPSED,
    METRICS,
    Classifier,
    Comparison,
    Estimate,
    Metric,
    Protocol,
    Reference,
    distance,
    separate,
)  # fmt: skip

MINUS = "\N{MINUS SIGN}"
PLUS_MINUS = "\N{PLUS-MINUS SIGN}"
NOTHING = "\N{EN DASH}"


def decimals(values: Iterable[float]) -> int:
    """Digits after the point for about four significant ones of the largest; 0 for integers."""
    finite = [abs(value) for value in values if math.isfinite(value)]
    largest = max(finite, default=0.0)
    if all(value == round(value) for value in finite):
        return 0
    if largest < 1:
        return 4 if largest < 0.1 else 3
    return max(0, 3 - math.floor(math.log10(largest)))


def fixed(value: float, places: int, signed: bool = False) -> str:
    """`value` with `places` digits after the point, and a plus sign if `signed`."""
    text = f"{abs(value):.{places}f}"
    if float(text) == 0:
        return text
    return (MINUS if value < 0 else "+" if signed else "") + text


def percent(value: float) -> str:
    """A fraction as a signed percentage: -0.62 => "-62 %", with a true minus."""
    return f"{fixed(100 * value, 0 if abs(value) >= 0.0995 else 1, signed=True)}\N{NO-BREAK SPACE}%"


def thousands(value: int) -> str:
    """A count in groups of three digits: "12 345"."""
    return f"{value:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def with_interval(estimate: Estimate, places: int, signed: bool = False) -> tuple[str, str]:
    """The mean, and "± half-width" or "" for a single seed."""
    half = estimate.half_width
    spread = "" if half is None else f"{PLUS_MINUS}\N{NO-BREAK SPACE}{fixed(half, places)}"
    return fixed(estimate.mean, places, signed), spread


def join(words: Iterable[str]) -> str:
    """A list in prose: "a", "a and b", "a, b and c"."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def differences(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Dotted key of each setting in which variants differ -> its value as text, per variant."""
    flat = [flatten(config) for config in variants.values()]
    return {
        key: [text(values[key]) for values in flat]
        for key in flat[0]
        if any(values[key] != flat[0][key] for values in flat)
    }


Standing = Literal["", "best", "clear"]


class Cell(NamedTuple):
    """One value of the table of scores."""

    text: str
    spread: str = ""  # "± half-width"; "" for a single seed
    standing: Standing = ""  # "clear" where the intervals separate the best from all others
    doubtful: bool = False  # whether the variant has collapsed, so that the value means nothing


class ScoreRow(NamedTuple):
    """One score: a cell for each variant and a text for each reference column."""

    metric: Metric
    goal: str
    cells: list[Cell]
    references: list[str]


class ScoreTable(NamedTuple):
    """All scores: `groups` has rows by heading, `references` the headings of real images."""

    variants: list[str]
    references: list[str]
    groups: dict[str, list[ScoreRow]]

    @property
    def any_doubtful(self) -> bool:
        """Whether a collapsed variant takes part."""
        rows = (row for group in self.groups.values() for row in group)
        return any(cell.doubtful for row in rows for cell in row.cells)


class Table(NamedTuple):
    """A plain table; the first cell of a row is its heading, `numeric` are columns of numbers."""

    head: list[str]
    rows: list[list[str]]
    numeric: Container[int] = ()


def standings(
    metric: Metric, estimates: Mapping[str, Estimate | None], places: int
) -> dict[str, Standing]:
    """Which estimates are best, with `places` digits: several if equal, none if all are."""
    marks: dict[str, Standing] = dict.fromkeys(estimates, "")
    known = {name: found for name, found in estimates.items() if found is not None}
    if metric.goal == "none" or len(known) < 2:
        return marks
    far = {name: round(distance(e.mean, metric.goal), places) for name, e in known.items()}
    nearest = min(far.values())
    best = [name for name in known if far[name] == nearest]
    if len(best) == len(known):
        return marks
    for name in best:
        rivals = [other for other in known if other not in best]
        clear = all(separate(known[name], known[other], metric.goal) for other in rivals)
        marks[name] = "clear" if clear else "best"
    return marks


def score_table(comparison: Comparison, reference: Reference) -> ScoreTable:
    """All scores of all variants, with those of real images for scale."""
    groups: dict[str, list[ScoreRow]] = {}
    for metric in METRICS:
        if comparison.has(metric.key):
            groups.setdefault(metric.group, []).append(_score_row(metric, comparison, reference))
    blurred = f"blurred, \N{GREEK SMALL LETTER SIGMA} {reference.floors.blurred.sigma:g} px"
    references = ["test set", "half of train", blurred, "mean image"]
    return ScoreTable(comparison.variants, references, groups)


def _score_row(metric: Metric, comparison: Comparison, reference: Reference) -> ScoreRow:
    row = {name: comparison.estimates[name][metric.key] for name in comparison.variants}
    beside = _references(metric.key, reference)
    values = [estimate.mean for estimate in row.values() if estimate]
    values += [value for value in beside if value is not None]
    places = max(metric.places, decimals(values))
    fragile = metric.key in MEANINGLESS_WHEN_COLLAPSED
    doubtful = {name for name in row if fragile and comparison.collapsed(name)}
    marks = standings(metric, {n: None if n in doubtful else e for n, e in row.items()}, places)
    cells = [
        Cell(*with_interval(estimate, places, metric.signed), marks[name], name in doubtful)
        if estimate
        else Cell(NOTHING)
        for name, estimate in row.items()
    ]
    references = ["" if value is None else fixed(value, places) for value in beside]
    return ScoreRow(metric, GOAL_TEXT[metric.goal], cells, references)


def _references(key: str, reference: Reference) -> list[float | None]:
    """The value of the test set itself, half of train, blurred test images and the mean image."""
    floors = reference.floors
    made = [floors.train_half, floors.blurred, floors.mean_image]
    if key in ("fid", "kid", "sharpness"):
        return [1.0 if key == "sharpness" else None, *(getattr(floor, key) for floor in made)]
    exposure = key in ("brightness", "contrast", "minimum", "maximum")
    return [getattr(reference, key) if exposure else None, None, None, None]


def difference_table(evidence: Evidence) -> Table:
    """The settings in which the variants differ."""
    rows = [[key, *values] for key, values in differences(evidence.stage.variants).items()]
    return Table(["Setting", *evidence.variants], rows)


SOURCES = {"fid": "Prior", "fid_mixture": "Mixture", "fid_reconstruction": "Reconstructions"}
CAVEAT = (
    "FIDs do not add up, and reconstructions have an advantage: they start from the test images "
    "themselves. So the differences say where to look, not how much each part costs."
)


def gap_table(comparison: Comparison) -> Table:
    """The three FIDs of every variant, and what their differences say."""
    variants = comparison.variants
    places = decimals(comparison.estimate(name, key).mean for name in variants for key in SOURCES)
    rows = []
    for name in variants:
        fids = [with_interval(comparison.estimate(name, key), places) for key in SOURCES]
        cells = [" ".join(fid).rstrip() for fid in fids]
        rows.append([name, *cells, reading(comparison, name, places)])
    return Table(["FID from", *SOURCES.values(), "Reading"], rows, {1, 2, 3})


def reading(comparison: Comparison, name: str, places: int) -> str:
    """One sentence on one variant, from its FIDs with `places` digits."""
    if comparison.collapsed(name):
        return "It has collapsed: the decoder ignores the codes, wherever they come from."
    means = (comparison.estimate(name, key).mean for key in SOURCES)
    prior, mixture, bottom = (float(fixed(mean, places)) for mean in means)
    if prior <= bottom:
        return (
            "Samples are as near to real images as reconstructions are: the prior costs nothing "
            "that FID sees, and what is left to gain is the decoder's."
        )
    fault = (
        "the codes: the encoder does not put images where the prior draws"
        if prior - bottom > bottom
        else "the decoder: even reconstructions come out that far from real images"
    )
    if mixture >= prior:
        told = comparison.estimates[name]["class_agreement"] is not None
        apart = " Its codes are drawn apart from the classes asked for." if told else ""
        return f"Most of the distance lies with {fault}. The mixture does not help.{apart}"
    gained = percent(min(1.0, (prior - mixture) / (prior - bottom))).lstrip("+")
    return (
        f"Most of the distance lies with {fault}. The mixture closes {gained} of the gap between "
        "prior and reconstructions."
    )


def run_table(evidence: Evidence) -> Table:
    """How every single run scored, and how its training ended."""
    columns = {"fid": "FID", "kid": "KID", "sharpness": "Sharpness", "psnr": "PSNR"}
    columns["active_units"] = "Active units"
    runs = evidence.all_runs
    places = {
        key: max(BY_KEY[key].places, decimals(run.scores.scores[key] or 0.0 for run in runs))
        for key in columns
    }
    rows = []
    for run in runs:
        scores, summary = run.scores.scores, run.summary
        rows.append([
            run.variant,
            str(run.seed),
            *(fixed(scores[key] or 0.0, places[key]) for key in columns),
            f"{summary.epochs}{', stopped early' if summary.stopped_early else ''}",
            f"{summary.kept_epoch} ({summary.kept})",
            thousands(summary.steps),
            thousands(summary.parameters),
        ])  # fmt: skip
    head = ["Variant", "Seed", *columns.values(), "Epochs", "Scored epoch", "Updates", "Parameters"]
    return Table(head, rows, set(range(1, len(head))))


def protocol_table(evidence: Evidence) -> Table:
    """How the scores were made: a column for every distinct way, normally one."""
    runs = evidence.all_runs
    ways: list[Protocol] = []
    for run in runs:
        if run.scores.protocol not in ways:
            ways.append(run.scores.protocol)
    heads = [
        "; ".join(f"{run.variant}, seed {run.seed}" for run in runs if run.scores.protocol == way)
        for way in ways
    ]
    columns = list(map(_protocol_lines, ways))
    rows = [[key, *(column.get(key, NOTHING) for column in columns)] for key in columns[0]]
    judge, users = evidence.reference.judge, _loss_networks(evidence)
    unused = f"none was trained: the features are {evidence.stage.metrics['features']}'s"
    judged = f"{_skill(judge)}; no loss has used it" if judge else unused
    helped = [name for name, network in users.items() if network == "critic"]
    use = f"in the loss of {join(helped)}" if helped else "in no variant's loss"
    rows.append(["Judge", *[judged] * len(ways)])
    rows.append(["Critic", *[f"{_skill(evidence.critic)}; {use}"] * len(ways)])
    return Table(["", *(heads if len(ways) > 1 else ["all runs"])], rows)


def _protocol_lines(protocol: Protocol) -> dict[str, str]:
    rank = "; fewer images than features, see below" if protocol.rank_deficient else ""
    return {
        "Generated images": thousands(protocol.fakes),
        "Real images": f"{thousands(protocol.reals)}, the {protocol.split} split",
        "Features": f"{protocol.features}, {protocol.feature_dim} dimensions{rank}",
        "KID": f"{protocol.kid_subsets} subsets of {thousands(protocol.kid_subset_size)} images",
        "Libraries": join(f"{name} {version}" for name, version in protocol.libraries.items()),
    }


def _loss_networks(evidence: Evidence) -> dict[str, str]:
    """Variants with a perceptual loss -> its network."""
    losses = {name: config["loss"] for name, config in evidence.stage.variants.items()}
    return {
        name: loss["perceptual"]["network"]
        for name, loss in losses.items()
        if loss["weights"]["perceptual"] > 0
    }


def _skill(classifier: Classifier) -> str:
    task = {"labels": "the classes", "rotations": "four rotations"}
    return (
        f"trained on {thousands(classifier.images)} images to tell {task[classifier.task]} apart; "
        f"right for {100 * classifier.accuracy:.1f}\N{NO-BREAK SPACE}% of the validation images"
    )


def protocol_notes(evidence: Evidence) -> list[str]:
    """What limits the scores."""
    protocols = [run.scores.protocol for run in evidence.all_runs]
    notes = []
    if any(protocol.rank_deficient for protocol in protocols):
        notes.append(
            "There are no more images than feature dimensions, so the covariances behind FID do "
            "not have full rank and FID is strongly biased: trust KID more."
        )
    if any(protocol != protocols[0] for protocol in protocols):
        notes.append(
            "The runs were not all scored in the same way, so their scores cannot be compared: "
            "run dvc repro on one machine."
        )
    for name, network in _loss_networks(evidence).items():
        if network in evidence.stage.metrics["features"]:
            notes.append(
                f"{name} was trained on features of {network}, the network that scores it: its "
                "FID and KID are flattered."
            )
    return notes


def card_rows(card: Card, reference: Reference) -> list[list[str]]:
    """What the data is: a name and a value in each row."""
    counts = {split: thousands(count) for split, count in card.counts.items()}
    size = f"{card.image_size} \N{MULTIPLICATION SIGN} {card.image_size} pixels"
    left_out = f"{thousands(card.duplicates_removed)} exact duplicates of images in another split"
    if card.skipped:
        shown = _few([f"{item.file} ({item.reason})" for item in card.skipped], 3)
        left_out += f"; {thousands(len(card.skipped))} files that are no usable image: {shown}"
    return [
        ["Name", card.name],
        ["Source", card.source],
        ["Licence", card.licence],
        ["Images", f"{size}, {'grey' if card.channels == 1 else 'RGB'}; data.fit: {card.fit}"],
        ["Splits", ", ".join(f"{counts[split]} {split}" for split in SPLITS)],
        ["Classes", _few(card.class_names) if card.class_names else "no labels"],
        ["Test images", f"sharpness {reference.sharpness:.4f} (variance of the Laplacian), "
                        f"brightness {reference.brightness:.3f}"],
        ["Left out", left_out],
    ]  # fmt: skip


def _few(names: Sequence[str], count: int = 12) -> str:
    more = f" and {thousands(len(names) - count)} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
