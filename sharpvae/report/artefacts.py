"""The JSON files of earlier stages, as the report reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from sharpvae.core.artefacts import Artefact, Finite, validated
from sharpvae.core.files import read_json

Known = dict[str, Finite | None]  # score -> value; None where it does not exist
Sight = Literal["fooled", "blind"]


class Protocol(Artefact):
    """How scores were made."""

    fakes: int
    reals: int
    split: str
    judges: dict[str, int]  # judge -> dimensions of its features
    kid_subsets: int
    kid_subset_size: int
    libraries: dict[str, str]


class Scores(Artefact):
    """reports/scores/<variant>/<seed>/scores.json"""

    scores: Known  # of the test split
    validation: Known
    reasons: dict[str, str]  # score -> why it is null
    judges: dict[str, dict[str, Finite]]  # fid, fid_mixture, ... -> judge -> its own distance
    replicates: dict[str, list[Finite] | dict[str, list[Finite]]]
    power: dict[str, list[Finite] | None]  # headline, prior, mixture, flow, reconstruction
    artefacts: dict[str, str | None]
    suspects: list[tuple[int, int]]  # (headline sample, training image)
    # What the headline samples were drawn from; of `samples` nothing is known but the images.
    headline: Literal["prior", "mixture", "flow", "samples"]
    # Each prior -> mean log-density of validation codes.
    nats: dict[str, Finite] = Field(default_factory=dict)
    collapsed: bool = False
    collapse: str = ""  # the reason for it in words
    kl_per_dimension: list[Finite] = Field(default_factory=list)
    # What was assumed of images that were made elsewhere.
    notes: list[str] = Field(default_factory=list)
    protocol: Protocol


class Classifier(Artefact):
    """A network trained here: its accuracy in validation, and how many images it learned from."""

    task: Literal["labels", "rotations"]
    accuracy: Finite
    images: int


class JudgeEntry(Artefact):
    """One judge of the panel."""

    weight: Finite
    why: str  # it has no weight; "" where it has
    floors: dict[str, Finite]
    learned: Classifier | None = None


class Reference(Artefact):
    """models/reference/reference.json"""

    judges: dict[str, JudgeEntry]
    faults: dict[str, dict[str, Sight]]  # score -> floor -> what it does not see
    sharpness: Finite
    brightness: Finite
    contrast: Finite
    minimum: Finite
    maximum: Finite
    power: dict[str, list[Finite] | None]  # frequency, test, and each floor
    sharpness_per_image: list[Finite]

    @property
    def weights(self) -> dict[str, float]:
        """Judge -> its weight in the panel."""
        return {name: entry.weight for name, entry in self.judges.items()}


class Floors(Artefact):
    """reports/floors.json: floor -> score -> value."""

    floors: dict[str, Known]


class Summary(Artefact):
    """reports/scores/<variant>/<seed>/summary.json"""

    epochs: int
    steps: int
    best_epoch: int
    stopped_early: bool
    still_falling: bool  # the validation loss, at the end
    updates_wanted: int | None  # so many more; None where no end is in sight
    parameters: int
    multiply_adds: int  # of encoding and decoding one image
    kept: Literal["last", "best"]

    @property
    def kept_epoch(self) -> int:
        """The epoch whose weights were scored."""
        return self.best_epoch if self.kept == "best" else self.epochs


class Cost(Artefact):
    """reports/live/<variant>/<seed>/cost.json"""

    seconds: Finite  # of training
    device: str


def load_floors(path: Path) -> dict[str, dict[str, float | None]]:
    """Read reports/floors.json: floor -> score -> value.  Raises as `load_artefact`."""
    return dict(validated(path, Floors, {"floors": read_json(path)}).floors)
