"""Three FIDs side by side: from the prior, from the mixture, reconstructed; and how to read them.

Reconstructions show what decoder and code can do; samples add what the source of the codes spoils
(Dai & Wipf 2019; Ghosh et al. 2020).
"""

from __future__ import annotations

import csv
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.config import Section
from sharpvae.core.errors import UserError
from sharpvae.report.scores import (
    Artefact,
    Classifier,
    Comparison,
    Reference,
    Scores,
    compare,
    load_artefact,
    load_scores,
)

Images = NDArray[np.uint8]

SHOWN = 100  # images kept of each split; no picture of the report shows more
_AGAIN = "run the whole pipeline with: dvc repro"
_COLUMNS = ["epoch", "step", "split", "term", "value"]


class Counts(Artefact):
    """Images in each split."""

    train: int
    validation: int
    test: int


class SkippedFile(Artefact):
    """A file of the data that was passed over, and why."""

    file: str
    reason: str


class Card(Artefact):
    """data/prepared/card.json"""

    name: str
    title: str
    licence: str
    source: str
    image_size: int
    channels: Literal[1, 3]
    class_names: list[str] | None
    counts: Counts
    fit: str
    duplicates_removed: int
    skipped: list[SkippedFile]


class Summary(Artefact):
    """models/<variant>/<seed>/summary.json"""

    epochs: int
    steps: int
    best_epoch: int
    best_by: Literal["loss", "fid"]
    stopped_early: bool
    precision: Literal["fp32", "bf16"]
    parameters: int
    beta_sigma: float | None
    kept: Literal["last", "best"]

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights were scored."""
        return self.best_epoch if self.kept == "best" else self.epochs


class ReportStage(Section):
    """configs/report.json: settings to show, as plain values, whatever keys they have."""

    preset: str
    seeds: list[int]
    data: dict[str, Any]
    metrics: dict[str, Any]
    variants: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Record:
    """One line of history.csv.

    Attributes:
        text: the value as it stands in the file.
    """

    epoch: int
    split: str
    term: str
    value: float
    text: str


@dataclass(frozen=True)
class Run:
    """What one training run left behind.

    Attributes:
        prior_sharpness, reconstruction_sharpness: float64 [N], Laplacian variance of each image.
    """

    variant: str
    seed: int
    scores: Scores
    summary: Summary
    history: list[Record]
    prior_sharpness: NDArray[np.float64]
    reconstruction_sharpness: NDArray[np.float64]


@dataclass(frozen=True)
class Evidence:
    """Everything the report shows.

    Attributes:
        runs: variant -> one run for each seed, both in the order of the configuration.
        test_images: uint8 [SHOWN or fewer, H, W, C], the first of the test split.
        prior, mixture, reconstructions: variant -> the like, of the first seed.
        test_sharpness: float64 [N], Laplacian variance of each real test image.
        sheet: a PNG with images of the data.
    """

    stage: ReportStage
    card: Card
    sheet: bytes
    reference: Reference
    critic: Classifier
    runs: dict[str, list[Run]]
    test_images: Images
    prior: dict[str, Images]
    mixture: dict[str, Images]
    reconstructions: dict[str, Images]
    test_sharpness: NDArray[np.float64]

    @property
    def variants(self) -> list[str]:
        """In the order of the configuration; the first is the baseline."""
        return list(self.runs)

    @property
    def all_runs(self) -> list[Run]:
        """Every run of every variant."""
        return [run for runs in self.runs.values() for run in runs]

    def comparison(self) -> Comparison:
        """The scores of all runs, gathered over the seeds."""
        return compare(
            {variant: [run.scores for run in runs] for variant, runs in self.runs.items()},
            self.stage.seeds,
            {name: config["model"]["latent_dim"] for name, config in self.stage.variants.items()},
        )


def load_evidence(stage: ReportStage, root: Path) -> Evidence:
    """Read all inputs of the report from below `root`, the folder of dvc.yaml.

    Raises:
        UserError: a file is missing or is not what its stage writes.
    """
    prepared, samples = root / "data/prepared", root / "data/samples"
    first = str(stage.seeds[0])
    test_images = _load_images(prepared / "test.npy", None)
    shape = test_images.shape[1:]
    drawn = {
        kind: {
            variant: _load_images(samples / variant / first / f"{kind}.npy", shape)
            for variant in stage.variants
        }
        for kind in ("prior", "mixture", "reconstruction")
    }
    return Evidence(
        stage=stage,
        card=load_artefact(prepared / "card.json", Card),
        sheet=_read_bytes(prepared / "sheet.png"),
        reference=load_artefact(root / "models/reference/reference.json", Reference),
        critic=load_artefact(root / "models/critic/critic.json", Classifier),
        runs={
            variant: [_load_run(root, variant, seed) for seed in stage.seeds]
            for variant in stage.variants
        },
        test_images=test_images,
        prior=drawn["prior"],
        mixture=drawn["mixture"],
        reconstructions=drawn["reconstruction"],
        test_sharpness=_load_per_image(root / "models/reference/per_image.npz", "sharpness"),
    )


def _load_run(root: Path, variant: str, seed: int) -> Run:
    scores = root / "reports/scores" / variant / str(seed)
    model = root / "models" / variant / str(seed)
    return Run(
        variant=variant,
        seed=seed,
        scores=load_scores(scores / "scores.json"),
        summary=load_artefact(model / "summary.json", Summary),
        history=load_history(model / "history.csv"),
        prior_sharpness=_load_per_image(scores / "per_image.npz", "prior_sharpness"),
        reconstruction_sharpness=_load_per_image(
            scores / "per_image.npz", "reconstruction_sharpness"
        ),
    )


def load_history(path: Path) -> list[Record]:
    """Read a history.csv with the columns epoch, step, split, term, value.

    Raises:
        UserError: the file is missing, has other columns, or a line that is no record.
    """
    reader = csv.reader(_read_bytes(path).decode("utf-8", errors="replace").splitlines())
    header = next(reader, [])
    if header != _COLUMNS:
        raise UserError(
            str(path), f"the columns {','.join(_COLUMNS)}", ",".join(header) or "nothing", _AGAIN
        )
    records = []
    for cells in reader:
        try:
            epoch, _step, split, term, value = cells
            records.append(Record(int(epoch), split, term, float(value), value))
        except ValueError:
            raise UserError(
                f"{path}, line {reader.line_num}",
                "epoch, step, split, term and value",
                ",".join(cells),
                _AGAIN,
            ) from None
    return records


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None


def _missing(path: Path) -> UserError:
    return UserError(str(path), "a file that an earlier stage writes", "no such file", _AGAIN)


def _load_images(path: Path, shape: tuple[int, ...] | None) -> Images:
    """The first images of a packed uint8 [N, H, W, C] file, each of `shape` unless that is None."""
    images = _load_numpy(path)
    described = f"{getattr(images, 'dtype', '')} {list(getattr(images, 'shape', []))}"
    fits = (
        isinstance(images, np.ndarray)
        and images.dtype == np.uint8
        and images.ndim == 4
        and images.shape[-1] in (1, 3)
        and len(images) > 0
        and (shape is None or images.shape[1:] == shape)
    )
    if not fits:
        size = ", ".join(map(str, shape)) if shape else "H, W, 1 or 3"
        raise UserError(str(path), f"images, uint8 [N, {size}]", described, _AGAIN)
    return np.array(images[:SHOWN], dtype=np.uint8)


def _load_per_image(path: Path, key: str) -> NDArray[np.float64]:
    """One array [N] of an .npz file, N at least 1."""
    archive = _load_numpy(path)
    names = list(getattr(archive, "files", []))
    values = archive[key] if key in names else None
    if values is None or values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise UserError(
            str(path),
            f"a list of finite numbers named '{key}'",
            f"arrays named {', '.join(names) or 'nothing'}",
            _AGAIN,
        )
    return np.asarray(values, dtype=np.float64)


def _load_numpy(path: Path) -> Any:
    try:
        # mapped, not read: a packed file may be larger than memory, and a few images are shown
        mode: Literal["r"] | None = "r" if path.suffix == ".npy" else None
        return np.load(path, mmap_mode=mode, allow_pickle=False)
    except FileNotFoundError:
        raise _missing(path) from None
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise UserError(str(path), "a file written by numpy", str(error), _AGAIN) from None
