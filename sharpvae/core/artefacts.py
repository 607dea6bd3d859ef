"""JSON files of earlier stages, each read as what its stage writes, or said to be damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from sharpvae.core.errors import UserError
from sharpvae.core.files import read_json

AGAIN = "remove it and run: dvc repro"
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Artefact(BaseModel):
    """A JSON file of an earlier stage; keys that its reader does not use are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


File = TypeVar("File")


def load_artefact(path: Path, kind: type[File]) -> File:
    """Read a JSON artefact.

    Args:
        kind: an `Artefact`, or any other type that pydantic knows, such as a named tuple.

    Raises:
        UserError: the file is missing, is not JSON, or lacks what its reader needs.
    """
    return validated(path, kind, read_json(path))


def validated(path: Path, kind: type[File], content: Any) -> File:
    """What was read from `path`; UserError where it is of another kind."""
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        raise UserError(
            str(path), "the file that its stage writes", first_finding(error), AGAIN
        ) from None


def first_finding(error: ValidationError) -> str:
    """What is wrong, and where."""
    first = error.errors()[0]
    return ": ".join(filter(None, [".".join(map(str, first["loc"])), first["msg"]]))
