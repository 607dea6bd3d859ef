"""The JSON files of earlier stages, as the report reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json

Finite = Annotated[float, Field(allow_inf_nan=False)]
Known = dict[str, Finite | None]  # score -> value; None where it does not exist
Sight = Literal["fooled", "blind"]

AGAIN = "run the whole pipeline with: dvc repro"


class Artefact(BaseModel):
    """A JSON file of an earlier stage; keys that the report does not use are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


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
    nats: dict[str, Finite] = {}  # each prior -> mean log-density of validation codes
    collapsed: bool = False
    collapse: str = ""  # the reason for it in words
    kl_per_dimension: list[Finite] = []
    notes: list[str] = []  # what was assumed of images that were made elsewhere
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


File = TypeVar("File", bound=Artefact)


def load_artefact(path: Path, kind: type[File]) -> File:
    """Read a JSON artefact.

    Raises:
        UserError: the file is missing, is not JSON, or lacks what the report needs.
    """
    return _validated(path, kind, read_json(path))


def load_floors(path: Path) -> dict[str, dict[str, float | None]]:
    """Read reports/floors.json: floor -> score -> value.  Raises as `load_artefact`."""
    return dict(_validated(path, Floors, {"floors": read_json(path)}).floors)


def _validated(path: Path, kind: type[File], content: Any) -> File:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        found = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise UserError(str(path), "the file that its stage writes", found, AGAIN) from None
