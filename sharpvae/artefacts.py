"""Files written whole or not at all."""

from __future__ import annotations

import glob
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sharpvae.errors import UserError
from sharpvae.locking import locked, try_lock, unlock

_RETIRED = "retired"  # the old directory, inside its temporary one, while the new one moves in


@contextmanager
def fresh_directory(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path` that takes its place on success.

    On any exception, Ctrl-C included, the temporary directory is removed and whatever stood at
    `path` before still stands there. What killed processes left behind is cleared away first.
    Several processes may write the same `path` at once: each result is whole, the last one stays.
    The temporary directory is locked for the block, so `path` must not lie right in another one.

    Raises:
        OSError: the parent cannot be made or written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.parent):  # or another process would take it for abandoned before its lock
        clear_abandoned(path)
        staging = Path(tempfile.mkdtemp(prefix=f".{path.name}.new.", dir=path.parent))
        lock = try_lock(staging)
    try:
        staging.chmod(0o755)  # mkdtemp makes it private to the user
        yield staging
        replace_directory(staging, path)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
        if lock is not None:
            unlock(lock)


def clear_abandoned(path: Path) -> None:
    """Remove what killed processes left of writing `path`; the caller has locked its parent.

    A process killed in the middle of `replace_directory` has its old directory put back.
    """
    name = glob.escape(path.name)
    for retired in path.parent.glob(f".{name}.old.*/{_RETIRED}"):
        if not path.exists():
            os.replace(retired, path)
    for abandoned in (*path.parent.glob(f".{name}.old.*"), *path.parent.glob(f".{name}.new.*")):
        lock = try_lock(abandoned)
        if lock is not None:  # else it is in use by a live process
            shutil.rmtree(abandoned, ignore_errors=True)
            unlock(lock)


def replace_directory(source: Path, target: Path) -> None:
    """Move `source` to `target`, taking away a directory that is already there.

    The parent of `target` is locked meanwhile, so that two processes do so one after the other.
    """
    with locked(target.parent):
        if not target.exists():
            os.replace(source, target)
            return
        retired = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
        os.replace(target, retired / _RETIRED)
        try:
            os.replace(source, target)
        except BaseException:
            os.replace(retired / _RETIRED, target)
            raise
        finally:
            shutil.rmtree(retired, ignore_errors=True)


def force(path: Path) -> None:
    """Have what was written to a file, or the names in a directory, reach the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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


def copy_file(source: Path, target: Path) -> Path:
    """Copy the contents of `source` to `target` through a temporary file and an atomic rename."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    os.close(handle)
    try:
        shutil.copyfile(source, name)
        os.chmod(name, 0o644)
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return target


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
