"""Where the numbers come from: the runs, the protocol of the scores, the data."""

from __future__ import annotations

from collections.abc import Sequence

from sharpvae.report.evidence import Card, Evidence, Run
from sharpvae.report.metrics import BY_KEY
from sharpvae.report.scores import Classifier, Protocol, Reference
from sharpvae.report.tables import NOTHING, Table, decimals, fixed, join, thousands


def run_table(evidence: Evidence) -> Table:
    """How every single run scored, and how its training ended."""
    runs = evidence.all_runs
    keys = ("fid", "kid", "sharpness", "psnr", "active_units")
    places = {
        key: max(BY_KEY[key].places, decimals(run.scores.scores[key] or 0.0 for run in runs))
        for key in keys
    }
    rows = [
        [
            run.variant,
            str(run.seed),
            *(fixed(run.scores.scores[key] or 0.0, places[key]) for key in keys),
            *_ending(run),
            thousands(run.summary.parameters),
        ]
        for run in runs
    ]
    head = ["Variant", "Seed", "FID", "KID", "Sharpness", "PSNR", "Active units"]
    head += ["Epochs", "Scored epoch", "Updates", "Parameters"]
    return Table(head, rows, set(range(1, len(head))))


def _ending(run: Run) -> list[str]:
    summary = run.summary
    epochs = f"{summary.epochs}{', stopped early' if summary.stopped_early else ''}"
    return [epochs, f"{summary.kept_epoch} ({summary.kept})", thousands(summary.steps)]


def protocol_table(evidence: Evidence) -> Table:
    """How the scores were made: a column for every distinct way, normally one."""
    ways: list[tuple[Protocol, list[str]]] = []
    for run in evidence.all_runs:
        name = f"{run.variant}, seed {run.seed}"
        for protocol, names in ways:
            if protocol == run.scores.protocol:
                names.append(name)
                break
        else:
            ways.append((run.scores.protocol, [name]))
    heads = ["all runs"] if len(ways) == 1 else ["; ".join(names) for _, names in ways]
    columns = [_protocol_lines(protocol) for protocol, _ in ways]
    rows = [[key, *(column.get(key, NOTHING) for column in columns)] for key in columns[0]]
    rows.append(["Judge", *[_judge(evidence)] * len(ways)])
    rows.append(["Critic", *[_critic(evidence)] * len(ways)])
    return Table(["", *heads], rows)


def _protocol_lines(protocol: Protocol) -> dict[str, str]:
    rank = "; fewer images than features, see below" if protocol.rank_deficient else ""
    return {
        "Generated images": thousands(protocol.fakes),
        "Real images": f"{thousands(protocol.reals)}, the {protocol.split} split",
        "Features": f"{protocol.features}, {protocol.feature_dim} dimensions{rank}",
        "KID": f"{protocol.kid_subsets} subsets of {thousands(protocol.kid_subset_size)} images",
        "Libraries": join(f"{name} {version}" for name, version in protocol.libraries.items()),
    }


def _judge(evidence: Evidence) -> str:
    judge = evidence.reference.judge
    if judge is None:
        return f"none was trained: the features are {evidence.stage.metrics['features']}'s"
    return f"{_skill(judge)}; no loss has used it"


def _critic(evidence: Evidence) -> str:
    users = [
        name
        for name, config in evidence.stage.variants.items()
        if config["loss"]["weights"]["perceptual"] > 0
        and config["loss"]["perceptual"]["network"] == "critic"
    ]
    use = f"in the loss of {join(users)}" if users else "in no variant's loss"
    return f"{_skill(evidence.critic)}; {use}"


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
    for name, config in evidence.stage.variants.items():
        network = config["loss"]["perceptual"]["network"]
        used = config["loss"]["weights"]["perceptual"] > 0
        if used and network in evidence.stage.metrics["features"]:
            notes.append(
                f"{name} was trained on features of {network}, the network that scores it: its "
                "FID and KID are flattered."
            )
    return notes


def card_rows(card: Card, reference: Reference) -> list[list[str]]:
    """What the data is: a name and a value in each row."""
    kind = "grey" if card.channels == 1 else "RGB"
    counts = card.counts
    return [
        ["Name", card.name],
        ["Source", card.source],
        ["Licence", card.licence],
        [
            "Images",
            f"{card.image_size} \N{MULTIPLICATION SIGN} {card.image_size} pixels, {kind}; "
            f"data.fit: {card.fit}",
        ],
        [
            "Splits",
            f"{thousands(counts.train)} train, {thousands(counts.validation)} validation, "
            f"{thousands(counts.test)} test",
        ],
        ["Classes", _few(card.class_names) if card.class_names else "no labels"],
        [
            "Test images",
            f"sharpness {reference.sharpness:.4f} (variance of the Laplacian), "
            f"brightness {reference.brightness:.3f}",
        ],
        ["Left out", _left_out(card)],
    ]


def _left_out(card: Card) -> str:
    """Duplicates, and files that were no usable image, the first of them by name."""
    equal = f"{thousands(card.duplicates_removed)} exact duplicates of images in another split"
    if not card.skipped:
        return equal
    shown = _few([f"{item.file} ({item.reason})" for item in card.skipped], 3)
    return f"{equal}; {thousands(len(card.skipped))} files that are no usable image: {shown}"


def _few(names: Sequence[str], count: int = 12) -> str:
    more = f" and {thousands(len(names) - count)} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more
