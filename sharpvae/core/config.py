"""What every section of params.yaml is made of, and how a stage reads its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sharpvae.core.errors import UserError, visible
from sharpvae.core.files import read_json

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
MOST_UNITS = 1_000_000  # of a layer: a square one takes 4 TB, and beyond it sizes overflow
Units = Annotated[int, Field(ge=1, le=MOST_UNITS)]
Widths = Annotated[list[Units], Field(min_length=1, max_length=100)]

GIVEN = "samples"  # what images that were made elsewhere are drawn from: nobody knows


class Section(BaseModel):
    """One section of params.yaml: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    # Keys that say the same in different ways: of these the highest layer that sets one decides.
    alternatives: ClassVar[tuple[str, ...]] = ()


def nested_section(section: type[Section], key: str) -> type[Section] | None:
    """The Section class of `key` within `section`, or None where `key` is a plain value."""
    annotation = section.model_fields[key].annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def is_given(variant: Any) -> bool:
    """Whether a variant of params.yaml is images that were made elsewhere: it has `samples`."""
    return isinstance(variant, Mapping) and variant.get("samples") is not None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"loss": {"beta": 1.0}} -> {"loss.beta": 1.0}, in the order of `tree`."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        flat |= flatten(value, f"{dotted}.") if isinstance(value, dict) else {dotted: value}
    return flat


def text(value: Any) -> str:
    """A value as one reads it: null, true, 0.5, [1, 2]; text without quotes."""
    if isinstance(value, str):
        return visible(value)
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


class GivenStage(Section):
    """configs/<variant>/train.json and sample.json of a variant that is images made elsewhere.

    Attributes:
        samples: where they lie, from the folder of params.yaml.
        sha256: of what lies there.
        count: how many are scored, if there are more; None: as many as there are test images.
    """

    variant: str
    samples: str
    sha256: str
    count: Count | None


Stage = TypeVar("Stage", bound=Section)


def load_stage(path: Path, stage: type[Stage]) -> Stage:
    """What `configure` wrote for one stage; UserError if missing, or unfit after an update."""
    try:
        return stage.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        expected = f"the file that `configure` writes for {stage.__name__}"
        found, fix = f"{key}: {first['msg']}", "write it anew: dvc repro configure"
        raise UserError(str(path), expected, found, fix) from None


def load_given(path: Path) -> GivenStage | None:
    """The same of a variant that is images made elsewhere; None of one that is trained here."""
    return load_stage(path, GivenStage) if is_given(read_json(path)) else None
