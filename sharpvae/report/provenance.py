"""Where the numbers come from: the runs, the protocol of the scores, the data."""

from __future__ import annotations

from collections.abc import Sequence

from sharpvae.images.packed import SPLITS, Card
from sharpvae.report.evidence import Evidence
from sharpvae.report.metrics import BY_KEY
from sharpvae.report.scores import Classifier, Protocol, Reference
from sharpvae.report.tables import NOTHING, Table, decimals, fixed, join, thousands


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
    rows.append(["Judge", *[_judge(evidence)] * len(ways)])
    rows.append(["Critic", *[_critic(evidence)] * len(ways)])
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


def _judge(evidence: Evidence) -> str:
    judge = evidence.reference.judge
    if judge is None:
        return f"none was trained: the features are {evidence.stage.metrics['features']}'s"
    return f"{_skill(judge)}; no loss has used it"


def _critic(evidence: Evidence) -> str:
    users = [name for name, network in _loss_networks(evidence).items() if network == "critic"]
    use = f"in the loss of {join(users)}" if users else "in no variant's loss"
    return f"{_skill(evidence.critic)}; {use}"


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
