"""What the report reads: the outputs of all earlier stages."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sharpvae.core.arrays import read_array, read_arrays
from sharpvae.core.artefacts import AGAIN, load_artefact
from sharpvae.core.config import Section, is_given
from sharpvae.core.errors import UserError
from sharpvae.images.packed import Card, load_card, load_split
from sharpvae.report.artefacts import (
    Classifier,
    Cost,
    Reference,
    Scores,
    Summary,
    load_floors,
)
from sharpvae.report.comparison import Comparison
from sharpvae.report.scores import DRAWS, load_scores

Images = NDArray[np.uint8]

REAL = "real test images"
SHOWN = 100  # images kept of each set; no picture of the report shows more
CODES = 1000  # kept of each variant
_COLUMNS = ["epoch", "step", "split", "term", "value"]


class ReportStage(Section):
    """configs/report.json: settings to show, as plain values, whatever keys they have.

    Of a variant that is images made elsewhere there is one, `samples`.
    """

    preset: str
    seeds: list[int]
    data: dict[str, Any]
    metrics: dict[str, Any]
    variants: dict[str, dict[str, Any]]


class Codes(NamedTuple):
    """Posteriors of N images: mean and log-variance, float32 [N, Z] both."""

    mean: NDArray[np.float32]
    log_var: NDArray[np.float32]


class Record(NamedTuple):
    """One line of history.csv."""

    epoch: int
    split: str
    term: str
    value: float
    text: str  # the value as written in the file


class Training(NamedTuple):
    """How one run was trained."""

    summary: Summary
    cost: Cost
    history: list[Record]


@dataclass(frozen=True)
class ScoredRun:
    """The outputs of one run, or a set of images that somebody else made."""

    variant: str
    seed: int
    scores: Scores
    training: Training | None  # None of images that somebody else made
    headline_sharpness: NDArray[np.float64]  # [N], Laplacian variance of each image
    reconstruction_sharpness: NDArray[np.float64] | None  # None without reconstructions

    @property
    def history(self) -> list[Record]:
        """Every logged value; none without a training."""
        return [] if self.training is None else self.training.history


@dataclass(frozen=True)
class Evidence:
    """Everything the report shows."""

    stage: ReportStage
    card: Card
    sheet: bytes  # a PNG with images of the data
    reference: Reference
    floors: dict[str, dict[str, float | None]]  # images of known faults -> their scores
    critic: Classifier | None  # None where none was trained
    runs: dict[str, list[ScoredRun]]  # variant -> one run per seed, in the order configured
    test_images: Images  # uint8 [SHOWN or fewer, H, W, C], the first of the test split
    draws: dict[str, dict[str, Images]]  # kind -> variant -> as many, of the first seed
    originals: dict[str, Images]  # what they are -> images that were reconstructed
    reconstructions: dict[str, Images]  # variant -> its reconstructions, of the first seed
    suspects: dict[str, Images]  # variant -> samples most like a copy, then what they resemble
    codes: dict[str, Codes]  # variant -> posteriors of test images

    @cached_property
    def comparison(self) -> Comparison:
        """The scores of all runs, gathered over the seeds."""
        return _compared(self.stage, self.runs, self.reference)

    @property
    def variants(self) -> list[str]:
        """Those that are shown, see `Comparison`; the first is the baseline."""
        return self.comparison.variants

    @property
    def shown(self) -> dict[str, list[ScoredRun]]:
        """Variant -> its runs, of the variants that are shown."""
        return {name: self.runs[name] for name in self.variants}

    @property
    def trained(self) -> dict[str, list[tuple[ScoredRun, Training]]]:
        """Variant -> its runs with their trainings, of those shown that were trained here."""
        found = {
            name: [(run, run.training) for run in runs if run.training is not None]
            for name, runs in self.shown.items()
        }
        return {name: runs for name, runs in found.items() if runs}


def load_evidence(stage: ReportStage, root: Path) -> Evidence:
    """Read all inputs of the report from below `root`, the folder of dvc.yaml.

    Raises:
        UserError: a file is missing or is not what its stage writes.
    """
    prepared, samples = root / "data/prepared", root / "data/samples"
    first = str(stage.seeds[0])
    test_images = np.array(load_split(prepared, "test").images[:SHOWN])
    shape = test_images.shape[1:]

    runs = {
        variant: [_load_run(root, variant, seed, is_given(own)) for seed in stage.seeds]
        for variant, own in stage.variants.items()
    }
    reference = load_artefact(root / "models/reference/reference.json", Reference)
    shown = _compared(stage, runs, reference).variants
    trained = [name for name in shown if not is_given(stage.variants[name])]

    def drawn(kind: str, names: Iterable[str] = trained) -> dict[str, Images]:
        return {
            v: np.array(_load_images(samples / v / first / f"{kind}.npy", shape)[:SHOWN])
            for v in names
        }

    train = load_split(prepared, "train").images

    def suspects(variant: str) -> Images:
        path = samples / variant / first / "headline.npy"
        return _suspects(path, _load_images(path, shape), train, runs[variant][0].scores.suspects)

    return Evidence(
        stage=stage,
        card=load_card(prepared),
        sheet=_read_png(prepared / "sheet.png"),
        reference=reference,
        floors=load_floors(root / "reports/floors.json"),
        critic=load_artefact(root / "models/critic/critic.json", Classifier),
        runs=runs,
        test_images=test_images,
        draws={
            DRAWS[0].kind: drawn(DRAWS[0].kind, shown),
            **{draw.kind: drawn(draw.kind) for draw in DRAWS[1:]},
        },
        originals={REAL: test_images},
        reconstructions=drawn("reconstruction"),
        suspects={variant: suspects(variant) for variant in shown},
        codes={v: _load_codes(samples / v / first / "posterior.npz") for v in trained},
    )


def _compared(
    stage: ReportStage, runs: Mapping[str, Sequence[ScoredRun]], reference: Reference
) -> Comparison:
    scores = {name: [run.scores for run in own] for name, own in runs.items()}
    return Comparison(tuple(stage.seeds), scores, reference.weights)


def _load_run(root: Path, variant: str, seed: int, given: bool) -> ScoredRun:
    scores = root / "reports/scores" / variant / str(seed)
    per_image = scores / "per_image.npz"
    if given:
        shown = _load_per_image(per_image, "headline_sharpness")
        return ScoredRun(variant, seed, load_scores(scores / "scores.json"), None, shown, None)
    return ScoredRun(
        variant=variant,
        seed=seed,
        scores=load_scores(scores / "scores.json"),
        training=Training(
            load_artefact(scores / "summary.json", Summary),
            load_artefact(root / "reports/live" / variant / str(seed) / "cost.json", Cost),
            load_history(scores / "history.csv"),
        ),
        headline_sharpness=_load_per_image(per_image, "headline_sharpness"),
        reconstruction_sharpness=_load_per_image(per_image, "reconstruction_sharpness"),
    )


def load_history(path: Path) -> list[Record]:
    """Read a history.csv with the columns epoch, step, split, term, value.

    Raises:
        UserError: the file is missing, has other columns, or a line that is no record.
    """
    reader = csv.reader(_read_bytes(path).decode("utf-8", errors="replace").splitlines())
    try:
        header, *lines = [*reader] or [[]]
    except csv.Error as error:  # a line without end
        where = f"{path}, line {reader.line_num}"
        raise UserError(where, f"the columns {','.join(_COLUMNS)}", str(error), AGAIN) from None
    if header != _COLUMNS:
        expected = f"the columns {','.join(_COLUMNS)}"
        raise UserError(str(path), expected, ",".join(header) or "nothing", AGAIN)
    records = []
    for number, cells in enumerate(lines, start=2):
        try:
            epoch, _step, split, term, value = cells
            records.append(Record(int(epoch), split, term, float(value), value))
        except ValueError:
            where, expected = f"{path}, line {number}", "epoch, step, split, term and value"
            raise UserError(where, expected, ",".join(cells), AGAIN) from None
    return records


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None


def _read_png(path: Path) -> bytes:
    """A picture that is shown as it is; UserError where a browser would show none."""
    content = _read_bytes(path)
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, zlib.error) as error:
        raise UserError(str(path), "a PNG", str(error), AGAIN) from None
    return content


def _missing(path: Path) -> UserError:
    return UserError(str(path), "a file that an earlier stage writes", "no such file", AGAIN)


def _load_images(path: Path, shape: tuple[int, ...]) -> Images:
    """The images, each of `shape`, of a packed uint8 [N, H, W, C] file, mapped."""
    images = read_array(path, mapped=True)
    if images.dtype != np.uint8 or images.shape[1:] != shape or not len(images):
        found = f"{images.dtype} {list(images.shape)}"
        expected = f"images, uint8 [N, {', '.join(map(str, shape))}]"
        raise UserError(str(path), expected, found, AGAIN)
    return np.asarray(images)


def _suspects(path: Path, drawn: Images, train: Images, pairs: list[tuple[int, int]]) -> Images:
    """The samples of all pairs, then their training images: uint8 [2 * pairs, H, W, C]"""
    try:
        found = [drawn[sample] for sample, _ in pairs] + [train[image] for _, image in pairs]
    except IndexError:
        expected = f"images at all of the suspects {pairs}, of samples and of training"
        raise UserError(str(path), expected, f"{len(drawn)} and {len(train)}", AGAIN) from None
    return np.array(found, np.uint8).reshape(-1, *drawn.shape[1:])


def _load_per_image(path: Path, key: str) -> NDArray[np.float64]:
    """One array [N] of an .npz file, N at least 1."""
    values = read_arrays(path, key)[key]
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        expected = f"a list of finite numbers named '{key}'"
        raise UserError(str(path), expected, f"{values.dtype} {list(values.shape)}", AGAIN)
    return np.asarray(values, dtype=np.float64)


def _load_codes(path: Path) -> Codes:
    archive = read_arrays(path, "mean", "log_var")
    codes = Codes(archive["mean"][:CODES], archive["log_var"][:CODES])
    if codes.mean.ndim != 2 or codes.mean.shape != codes.log_var.shape or not codes.mean.size:
        found = f"{codes.mean.shape} and {codes.log_var.shape}"
        raise UserError(str(path), "mean and log_var of one shape [N, Z]", found, AGAIN)
    return codes
