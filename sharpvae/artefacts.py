"""Files written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sharpvae.errors import UserError


@contextmanager
def fresh_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its place on success.

    On any exception, Ctrl-C included, the temporary directory is removed and whatever stood at
    `path` before still stands there. What a killed process left behind is removed first, so no
    two processes may write the same `path` at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for abandoned in path.parent.glob(f".{path.name}.*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        staging.chmod(0o755)  # mkdtemp makes it private to the user
        yield staging
        replace_directory(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def replace_directory(source: Path, target: Path) -> None:
    """Move `source` to `target`, taking away a directory that is already there."""
    if target.exists():
        retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        os.replace(target, retired / "old")
        try:
            os.replace(source, target)
        except BaseException:
            os.replace(retired / "old", target)
            raise
        finally:
            shutil.rmtree(retired, ignore_errors=True)
    else:
        os.replace(source, target)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 `text` to `path` through a temporary file and an atomic rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON in the order given; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON artefact of an earlier stage.

    Raises:
        UserError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            str(path),
            "a file that an earlier stage writes",
            "no such file",
            "run the whole pipeline with: dvc repro",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(
            str(path), "valid JSON", str(error), "remove it and run: dvc repro"
        ) from None
