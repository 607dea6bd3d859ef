"""Settings, runs, protocol and data as tables and text."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from statistics import mean
from typing import Any, NamedTuple

from sharpvae.core.config import flatten, is_given, text
from sharpvae.images.packed import SPLITS, Card
from sharpvae.report.artefacts import Classifier, Protocol, Reference
from sharpvae.report.evidence import Evidence
from sharpvae.report.numerals import NOTHING, decimals, fixed, join, thousands
from sharpvae.report.scores import BY_KEY, TABLE

FEW = 500  # images, below which the bias of Frechet distances is told


def differences(variants: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """Dotted key of each setting in which variants differ -> its value as text, per variant."""
    flat = [flatten(config) for config in variants.values()]
    keys = {key: None for values in flat for key in values}  # not every network has each
    settings = {key: [values.get(key, NOTHING) for values in flat] for key in keys}
    return {
        key: list(map(text, values))
        for key, values in settings.items()
        if any(value != values[0] for value in values)
    }


class Table(NamedTuple):
    """A plain table; the first cell of a row is its heading, `numeric` are columns of numbers."""

    head: list[str]
    rows: list[list[str]]
    numeric: Container[int] = ()


def difference_table(evidence: Evidence) -> Table:
    """The settings in which the variants that were trained differ."""
    trained = {name: evidence.stage.variants[name] for name in evidence.trained}
    rows = [[key, *values] for key, values in differences(trained).items()]
    return Table(["Setting", *trained], rows)


def budget_table(evidence: Evidence) -> Table:
    """What each variant cost, the mean over the seeds: equal rows make a fair comparison."""
    rows: dict[str, list[str]] = {}
    for name, runs in evidence.trained.items():
        batch = evidence.stage.variants[name]["train"]["batch_size"]
        ends = [training.summary for _, training in runs]
        costs = [training.cost for _, training in runs]
        seconds = mean(cost.seconds for cost in costs)
        for key, value in {
            "Parameters": thousands(ends[0].parameters),
            "Multiply-adds an image": thousands(ends[0].multiply_adds),
            "Updates": thousands(round(mean(end.steps for end in ends))),
            "Images seen": thousands(round(mean(end.steps for end in ends)) * batch),
            "Training, s": f"{seconds:.1f}" if seconds < 10 else thousands(round(seconds)),
            "Trained on": join(sorted({cost.device for cost in costs})),
        }.items():
            rows.setdefault(key, [key]).append(value)
    names = list(evidence.trained)
    return Table(["Budget", *names], list(rows.values()), set(range(1, len(names) + 1)))


def run_table(evidence: Evidence) -> Table:
    """How every single run scored, and how its training ended."""
    columns = {"fid": "FID", "blur_px": "Blur, px", "psnr": "PSNR", "signal_axes": "Signal axes"}
    runs = [both for own in evidence.trained.values() for both in own]
    places = {
        key: max(BY_KEY[key].places, decimals(run.scores.scores[key] or 0.0 for run, _ in runs))
        for key in columns
    }
    rows = []
    for run, training in runs:
        scores, summary = run.scores.scores, training.summary
        rows.append([
            run.variant,
            str(run.seed),
            *(_value(scores[key], places[key]) for key in columns),
            f"{summary.epochs}{', stopped early' if summary.stopped_early else ''}",
            f"{summary.kept_epoch} ({summary.kept})",
            thousands(summary.steps),
            f"{training.cost.seconds:.1f}",
        ])  # fmt: skip
    head = ["Variant", "Seed", *columns.values()]
    head += ["Epochs", "Scored epoch", "Updates", "Seconds"]
    return Table(head, rows, set(range(1, len(head))))


def validation_table(evidence: Evidence) -> Table:
    """The headline scores of the validation split, on which choices are made."""
    rows = []
    for key in TABLE:
        shown = evidence.shown.values()
        if not any(key in run.scores.validation for runs in shown for run in runs):
            continue
        found = [[run.scores.validation.get(key) for run in runs] for runs in shown]
        values = [None if None in own else mean(v for v in own if v is not None) for own in found]
        places = max(BY_KEY[key].places, decimals(v for v in values if v is not None))
        rows.append([BY_KEY[key].name, *(_value(value, places) for value in values)])
    names = evidence.variants
    return Table(["Score", *names], rows, set(range(1, len(names) + 1)))


def _value(value: float | None, places: int) -> str:
    return NOTHING if value is None else fixed(value, places)


def protocol_table(evidence: Evidence) -> Table:
    """How the scores were made: a column for every distinct way, normally one."""
    runs = [run for own in evidence.runs.values() for run in own]
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
    users = _loss_networks(evidence)
    for name, entry in evidence.reference.judges.items():
        if entry.learned is not None:
            skill = f"{_skill(entry.learned)}; no loss has used it"
            rows.append([f"Judge {name}", *[skill] * len(ways)])
    if evidence.critic is not None:
        helped = [name for name, network in users.items() if network == "critic"]
        use = f"in the loss of {join(helped)}" if helped else "in no variant's loss"
        rows.append(["Critic", *[f"{_skill(evidence.critic)}; {use}"] * len(ways)])
    for name in evidence.variants:
        if is_given(config := evidence.stage.variants[name]):
            rows.append([f"Samples of {name}", *[config["samples"]] * len(ways)])
    return Table(["", *(heads if len(ways) > 1 else ["all runs"])], rows)


def _protocol_lines(protocol: Protocol) -> dict[str, str]:
    judges = [f"{name} ({count} features)" for name, count in protocol.judges.items()]
    return {
        "Generated images": thousands(protocol.fakes),
        "Real images": f"{thousands(protocol.reals)}, the {protocol.split} split",
        "Judges": join(judges),
        "KID": f"{protocol.kid_subsets} subsets of {thousands(protocol.kid_subset_size)} images",
        "Libraries": join(f"{name} {version}" for name, version in protocol.libraries.items()),
    }


def _loss_networks(evidence: Evidence) -> dict[str, str]:
    """Variants with a perceptual loss -> its network."""
    losses = {name: evidence.stage.variants[name]["loss"] for name in evidence.trained}
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
    protocols = [run.scores.protocol for own in evidence.runs.values() for run in own]
    notes = []
    counts = {protocol.fakes for protocol in protocols}
    if len(counts) > 1:
        notes.append(
            f"Of some runs {thousands(min(counts))} samples were scored, of others up to "
            f"{thousands(max(counts))}, and fewer make every distance larger: compare them after "
            f"setting sample.count: {min(counts)} for all."
        )
    of_count = {"fakes", "kid_subset_size"}
    if len({protocol.model_dump_json(exclude=of_count) for protocol in protocols}) > 1:
        notes.append(
            "The runs were not all scored in the same way, so their scores cannot be compared: "
            "run dvc repro on one machine."
        )
    fewest = min(min(protocol.fakes, protocol.reals) for protocol in protocols)
    if fewest < FEW:
        notes.append(
            f"With {thousands(fewest)} images every Fréchet distance is too high, the more so the "
            "fewer they are: compare variants with each other and with the floors beside them, "
            "which have as many images, and with nothing else."
        )
    deaf = [name for name, entry in evidence.reference.judges.items() if entry.why and entry.weight]
    notes += [
        f"No judge can be trusted on these images; {name} decides alone, though "
        f"{evidence.reference.judges[name].why}."
        for name in deaf
    ]
    for name, runs in evidence.shown.items():
        notes += [f"{name}: {note}." for note in runs[0].scores.notes]
    for name, network in _loss_networks(evidence).items():
        if network in protocols[0].judges:
            notes.append(
                f"{name} was trained on features of {network}, one of the networks that score it: "
                "its FID is flattered."
            )
    return notes


def card_rows(card: Card, reference: Reference) -> list[list[str]]:
    """What the data is: a name and a value in each row."""
    counts = {split: thousands(count) for split, count in card.counts.items()}
    size = f"{card.image_size} \N{MULTIPLICATION SIGN} {card.image_size} pixels"
    left_out = f"{thousands(card.duplicates_removed)} exact duplicates of other images"
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
