"""Score images that somebody else made: `score`, and what it returns."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from sharpvae.core.artefacts import load_artefact
from sharpvae.core.config import GIVEN
from sharpvae.core.console import terminal
from sharpvae.core.devices import borrowed
from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded, unwritable, write_text
from sharpvae.datasets.array_files import load_array
from sharpvae.datasets.files import open_files
from sharpvae.datasets.given import LEAST, Given, array_images, chosen, read_images
from sharpvae.datasets.pack import contact_sheet
from sharpvae.given.reals import FLOORS, METRICS, Reals, measured
from sharpvae.images.packed import SPLITS, Card
from sharpvae.report.artefacts import Reference, Scores, load_floors
from sharpvae.report.evidence import SHOWN, Evidence, ReportStage, ScoredRun
from sharpvae.report.page import score_files
from sharpvae.report.scores import DRAWS
from sharpvae.report.scoretable import ScoreTable
from sharpvae.scoring.evaluate import Panel, evaluate
from sharpvae.scoring.measures import digests, equal_reals
from sharpvae.scoring.neighbours import Training
from sharpvae.scoring.scores import Reals as RealSplit
from sharpvae.scoring.scores import protocol, training

PAIRS = ("images", "reconstructions")
BESIDE = ("real", "blur_1")  # floors in the printed table
WIDTH = 100  # columns of the table as text
Images = NDArray[np.uint8]


class Pairs(NamedTuple):
    """Images and their reconstructions, in the same order."""

    images: Given
    reconstructions: Given


@dataclass(frozen=True)
class Result:
    """The scores of one or several sets of samples. Printed, it is a table.

    Attributes:
        scores: set -> score -> value, under the keys of reports/metrics.json that apply; None where
            these images have no such score.
        floors: images of known faults -> score -> value, to compare with.
        sentence: the outcome in words.
        steps: of more than two sets, how each compares with the first, with intervals.
        findings: what is wrong and what to try, in the order in which to try it.
        notes: what was assumed of the images.
        files: score.html, score.json and score.md -> their text.
        table: the headline scores, for a terminal.
    """

    scores: dict[str, dict[str, float | None]]
    floors: dict[str, dict[str, float | None]]
    sentence: str
    steps: list[str]
    findings: list[str]
    notes: list[str]
    files: dict[str, str]
    table: Table

    def save(self, folder: str | Path = ".") -> None:
        """Write score.html, score.json and score.md to `folder`, which is made if need be.

        Raises:
            UserError: it cannot be written to.
        """
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
            for name, text in self.files.items():
                write_text(Path(folder) / name, text)
        except OSError as error:
            raise unwritable(Path(folder), "the scores", 0, error) from None

    def __str__(self) -> str:
        buffer = io.StringIO()
        console = terminal(WIDTH, buffer)
        console.print(self.sentence, self.table, sep="\n", markup=False, highlight=False)
        return buffer.getvalue().rstrip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The page, for a notebook."""
        page = escape(self.files["score.html"])
        return f'<iframe srcdoc="{page}" width="100%" height="800" style="border: 0"></iframe>'


def score(samples: Any, real: Any, reconstructions: Any = None, device: str = "auto") -> Result:
    """Score samples of any generator against real images.

    Judges are trained on the real images and floors are measured once, and kept in the user's
    cache. A fifth of the real images, set apart, is what the samples are compared with, a random
    draw of each set, of as many as the smallest has.

    Args:
        samples: a path or an array as `read_images` takes it; or a mapping of names to such, which
            are compared with the first. At least 20 images, of the size of the real ones.
        real: the same; at least 100, best those that the generator learned from, or copies of them
            cannot be found.
        reconstructions: `(images, reconstructions)`, each as above, or a path (see `read_pairs`);
            or a mapping of names of `samples` to such.
        device: auto, cpu, mps, cuda or cuda:<index>.

    Raises:
        UserError: a mistake in the images; see `read_images`.
    """
    sets = samples if isinstance(samples, Mapping) else {set_name(samples): samples}
    _require_names(sets)
    paired = reconstructions if isinstance(reconstructions, Mapping) else (
        {} if reconstructions is None else {next(iter(sets)): reconstructions}
    )  # fmt: skip
    where = str(real) if isinstance(real, str | Path) else "real"
    reals = read_images(real, "real")
    given = {name: read_images(source, name) for name, source in sets.items()}
    pairs = {name: read_pairs(source, name) for name, source in paired.items()}
    _require(given, pairs, reals, where)
    notes = _notes(given, pairs, reals, where)
    reals, given, pairs = _coloured(reals, given, pairs)
    with borrowed(device) as place:
        return _scored(given, pairs, reals, where, notes, place)


def set_name(source: Any) -> str:
    """What a set is called that has no name: the last part of its path."""
    if not isinstance(source, str | Path):
        return "samples"
    path = expanded(source).absolute()
    return path.name if path.is_dir() else path.stem


def read_pairs(source: Any, name: str) -> Pairs:
    """Images with their reconstructions.

    Args:
        source: two sets as `read_images` takes them; or a .npz with the arrays `images` and
            `reconstructions`; or a folder with two of these names, in which files that belong
            together have the same name.
    """
    if isinstance(source, tuple | list):
        first, second = (read_images(own, name, strict=True) for own in source)
        return Pairs(first, second)
    path = expanded(source)
    if path.suffix.lower() == ".npz":
        one, two = (array_images(load_array(path, key), f"{path}: {key}") for key in PAIRS)
        return Pairs(one, two)
    if not all((path / key).is_dir() for key in PAIRS):
        wanted = (
            f"a .npz with the arrays {' and '.join(PAIRS)}, or a folder with two of these names"
        )
        raise UserError(str(path), wanted, "neither", "write the pairs so")
    listed = []
    for key in PAIRS:
        with closing(open_files(path / key)) as files:
            listed.append([str(PurePosixPath(file).with_suffix("")) for file in files.files])
    if listed[0] != listed[1]:
        odd = sorted(set(listed[0]) ^ set(listed[1]))
        raise UserError(
            str(path), "files of the same names in both folders",
            f"{odd[0]} in one alone" if odd else "a name twice",
            "give each reconstruction the name of its image",
        )  # fmt: skip
    first, second = (read_images(path / key, name, strict=True) for key in PAIRS)
    return Pairs(first, second)


def _require_names(sets: Mapping[Any, Any]) -> None:
    if not sets:
        raise UserError("samples", "a set of images", "none")
    for name in sets:
        if not isinstance(name, str) or not name or name == "floors":
            taken = "the name of the floors in score.json" if name == "floors" else repr(name)
            raise UserError("samples", "a name for each set", taken, "give another name")


def _require(
    given: Mapping[str, Given], pairs: Mapping[str, Pairs], reals: Given, real: str
) -> None:
    """Refuse sets that cannot be compared."""
    for name, own in given.items():
        if len(own.images) < LEAST:
            raise UserError(name, f"at least {LEAST} samples", str(len(own.images)), "draw more")
        _require_size(name, own, reals, real)
    for name, both in pairs.items():
        if name not in given:
            raise UserError(name, "the name of a set of samples", ", ".join(given), "correct it")
        counts = [len(own.images) for own in both]
        if counts[0] != counts[1]:
            found = f"{counts[0]} images and {counts[1]} reconstructions"
            raise UserError(name, "a reconstruction of every image", found, "pair them")
        for own in both:
            _require_size(name, own, reals, real)


def _require_size(name: str, own: Given, reals: Given, real: str) -> None:
    (height, width), expected = own.images.shape[1:3], reals.images.shape[1:3]
    if (height, width) != expected:
        raise UserError(
            name, f"{expected[1]}x{expected[0]} pixels, as those of {real}", f"{width}x{height}",
            "bring the real images to the size that the model was trained with",
        )  # fmt: skip


def _coloured(
    reals: Given, given: Mapping[str, Given], pairs: Mapping[str, Pairs]
) -> tuple[Given, dict[str, Given], dict[str, Pairs]]:
    """All with three channels where any has."""
    everything = [reals, *given.values(), *(own for both in pairs.values() for own in both)]
    channels = max(own.images.shape[3] for own in everything)

    def same(own: Given) -> Given:
        return own._replace(images=own.images.repeat(channels // own.images.shape[3], axis=3))

    return same(reals), {name: same(own) for name, own in given.items()}, {
        name: Pairs(*map(same, both)) for name, both in pairs.items()
    }  # fmt: skip


def _notes(
    given: Mapping[str, Given], pairs: Mapping[str, Pairs], reals: Given, where: str
) -> list[str]:
    """What was assumed of the images, and what is odd about them."""
    every = [(where, reals), *given.items()]
    every += [(f"{name}, {key}", own) for name, both in pairs.items()
              for key, own in zip(PAIRS, both, strict=True)]  # fmt: skip
    told = [f"{name}: {note}" for name, own in every for note in own.notes]
    known, colours = set(digests(reals.images)), {1: "grey", 3: "coloured"}
    for name, own in given.items():
        ours, theirs = (colours[set_.images.shape[3]] for set_ in (own, reals))
        if ours != theirs:
            told.append(f"{name}: all images are {ours}, while real ones are {theirs}")
            continue
        told += [f"{name}: {note}" for note in equal_reals(own.images, known)]
    return told


def _scored(
    given: Mapping[str, Given], pairs: Mapping[str, Pairs], real: Given, where: str,
    notes: list[str], device: torch.device,
) -> Result:  # fmt: skip
    fewest = min(len(own.images) for own in given.values())
    reals = measured(real, fewest, device, where)
    count = min(fewest, len(reals.splits["test"].images))
    shown = {name: own.images[chosen(len(own.images), count)] for name, own in given.items()}
    fewest = min([count, *(len(both.images.images) for both in pairs.values())])
    paired = {
        name: tuple(own.images[chosen(len(own.images), fewest)] for own in both)
        for name, both in pairs.items()
    }
    runs = _runs(shown, paired, reals, device)
    evidence = _evidence(runs, shown, paired, reals, where)
    outcome, findings, scores, table, files = score_files(evidence, notes)
    return Result(
        scores=scores, floors=evidence.floors, sentence=outcome.sentence,
        steps=outcome.steps, findings=[f"{one.variant}: {one.text}" for one in findings],
        notes=notes, files=files, table=_table(table),
    )  # fmt: skip


def _runs(
    shown: Mapping[str, Images], paired: Mapping[str, tuple[Images, ...]], reals: Reals,
    device: torch.device,
) -> dict[str, ScoredRun]:  # fmt: skip
    """All scores of each set."""
    splits = reals.splits
    panel = Panel(METRICS, reals.measured, splits["test"].images.shape[1:], device)
    test = panel.reals("test", splits["test"].images)
    validation = panel.reals("validation", splits["validation"].images)
    train = training(splits["train"].images, test)
    return {
        name: _run(name, images, paired.get(name), panel, (test, validation, train))
        for name, images in shown.items()
    }


def _run(
    name: str, images: Images, pairs: tuple[Images, ...] | None, panel: Panel,
    real: tuple[RealSplit, RealSplit, Training],
) -> ScoredRun:  # fmt: skip
    sets = {GIVEN: panel.look(images)}
    originals, again = (None, None) if pairs is None else pairs
    if again is not None:
        sets["reconstruction"] = panel.look(again)
    found = evaluate(sets, GIVEN, *real, METRICS, originals=originals)
    described = {key: value for key, value in vars(found).items() if key != "sharpness"}
    scores = Scores.model_validate(
        described | {"headline": GIVEN, "protocol": protocol(METRICS, sets[GIVEN], real[0])}
    )
    return ScoredRun(
        name, 0, scores, None, found.sharpness["headline"], found.sharpness.get("reconstruction")
    )


def _evidence(
    runs: Mapping[str, ScoredRun], shown: Mapping[str, Images],
    paired: Mapping[str, tuple[Images, ...]], reals: Reals, where: str,
) -> Evidence:  # fmt: skip
    card, train = _card(reals, where), reals.splits["train"]
    sheet = io.BytesIO()
    contact_sheet(card, train).save(sheet, "PNG", compress_level=1)
    nothing: dict[str, dict[str, Any]] = {name: {} for name in runs}
    draws: dict[str, dict[str, Images]] = {draw.kind: {} for draw in DRAWS}
    draws["headline"] = {name: images[:SHOWN] for name, images in shown.items()}
    return Evidence(
        stage=ReportStage(preset="", seeds=[0], data={}, metrics={}, variants=nothing),
        card=card, sheet=sheet.getvalue(),
        reference=load_artefact(reals.measured / "reference.json", Reference),
        floors=load_floors(reals.measured / FLOORS), critic=None,
        runs={name: [run] for name, run in runs.items()},
        test_images=np.array(reals.splits["test"].images[:SHOWN]), draws=draws,
        originals={f"images that {name} was given": own[0][:SHOWN] for name, own in paired.items()},
        reconstructions={name: own[1][:SHOWN] for name, own in paired.items()},
        suspects={name: _suspects(run, shown[name], train.images) for name, run in runs.items()},
        codes={},
    )  # fmt: skip


def _suspects(run: ScoredRun, drawn: Images, train: Images) -> Images:
    """Samples most like a copy, then the real images that they are like."""
    pairs = run.scores.suspects
    found = [drawn[sample] for sample, _ in pairs] + [train[image] for _, image in pairs]
    return np.array(found, np.uint8).reshape(-1, *drawn.shape[1:])


def _card(reals: Reals, where: str) -> Card:
    splits = reals.splits
    size, channels = splits["test"].images.shape[2:]
    return Card(
        name=Path(where).stem, title=Path(where).name, licence="as its owner says", citation="",
        source=where, image_size=size, channels=channels, class_names=None,
        counts={split: len(splits[split].images) for split in SPLITS}, class_counts=None,
        factor_names=None, sha256={}, fit="as given", subset=None, classes=None, binarize=None,
        seed=0, duplicates_removed=reals.repeated, skipped=[],
    )  # fmt: skip


def _table(scores: ScoreTable) -> Table:
    """The headline scores as a table for a terminal, beside real and blurred images."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("score")
    beside: Sequence[str] = [name for name in BESIDE if name in scores.floors]
    for name in [*scores.variants, *(f"({name})" for name in beside)]:
        table.add_column(name, justify="right", overflow="fold")
    for row in scores.groups[""]:
        floors = dict(zip(scores.floors, row.floors, strict=True))
        cells = [" ".join(filter(None, (c.text, c.spread, c.change))) for c in row.cells]
        table.add_row(row.metric.name, *cells, *(floors[name].text for name in beside))
    return table
