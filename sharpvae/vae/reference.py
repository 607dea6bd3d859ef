"""Where the code of a network of the user's own lies: found and hashed without running any."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded

FORMS = "package.module:Class or path/to/file.py:Class"
_PROJECT = "sharpvae"  # whose folders the stages depend on as it is


class Reference(NamedTuple):
    """`model.family` of a network of the user's own, in its parts."""

    place: str  # a dotted module, or the path of a file, from the top of the repository
    name: str  # of the class

    @property
    def is_file(self) -> bool:
        """Whether `place` is the path of a file."""
        return self.place.endswith(".py")


class Found(NamedTuple):
    """The file of a reference."""

    path: Path
    package: Path | None  # the folder, or single file, that was installed; None: not so found


def is_own(family: Any) -> bool:
    """Whether `family` names a network of the user's own, not one of ours."""
    return isinstance(family, str) and ":" in family


def parse(family: str) -> Reference:
    """The parts of a reference; ValueError where it has another form."""
    place, _, name = family.rpartition(":")
    dotted = all(part.isidentifier() for part in place.split("."))
    if not name.isidentifier() or not (dotted or place.endswith(".py")):
        raise ValueError(FORMS)
    return Reference(place, name)


def where(family: str) -> str:
    """How messages name the network that they are about."""
    return f"model.family: {family}"


def locate(family: str) -> Found:
    """The file of a network; packages on the way to it are not imported.

    A module is looked for in the working directory, and then where Python finds packages.

    Raises:
        UserError: there is none.
    """
    reference = parse(family)
    if reference.is_file:
        path = expanded(reference.place)
        if path.is_file():
            return Found(path, None)
        fix = "correct it; a relative path counts from the top of the repository"
        raise UserError(where(family), "the path of a file", f"no file {path}", fix)
    first, *rest = reference.place.split(".")
    for start, installed in _starts(first):
        stem = start.joinpath(*rest)
        for path in (stem / "__init__.py", stem.with_suffix(".py")):
            if path.is_file():
                return Found(path, start if installed else None)
    raise UserError(
        where(family), "a module of the repository, or of a package that is installed",
        f"no module {reference.place}", "correct it, or pip install the package",
    )  # fmt: skip


def _starts(top: str) -> Iterator[tuple[Path, bool]]:
    """Where a package or module of this name may lie, without suffix; whether it is installed."""
    yield Path(top), False
    importlib.invalidate_caches()
    try:
        spec = importlib.util.find_spec(top)
    except ValueError:  # of a module that was made, not found, such as __main__
        spec = None
    if spec is None:
        return
    folders = list(spec.submodule_search_locations or ())
    yield from ((Path(folder), True) for folder in folders)
    if spec.origin and not folders:
        yield Path(spec.origin).with_suffix(""), True


def sources(family: str) -> dict[str, bytes]:
    """The code that a network is made of: name of each file => its bytes.

    Of a file or module in the repository: it, and each file of the repository that it imports,
    directly or not. Of an installed package: every file of it. What else is installed is left out,
    as is sharpvae itself, whose code the stages depend on anyhow.

    Raises:
        UserError: a file is missing, or is not Python.
    """
    path, package = locate(family)
    if package is not None:
        files = sorted(package.rglob("*.py")) if package.is_dir() else [path]
        return {os.path.relpath(file, package.parent): file.read_bytes() for file in files}
    reference = parse(family)
    parts = [] if reference.is_file else reference.place.split(".")
    waiting, found = [path, *_files(Path(), parts)], dict[str, bytes]()
    while waiting:
        file = waiting.pop()
        name = os.path.relpath(file)
        if name not in found:
            found[name] = file.read_bytes()
            waiting += _imported(family, file, found[name])
    return found


def digest(family: str) -> str:
    """SHA-256 of `sources`, names included, as 64 hexadecimal digits; UserError as there."""
    whole = hashlib.sha256()
    for name, code in sorted(sources(family).items()):
        for part in (name.encode(), code):
            whole.update(f"{len(part)}:".encode() + part)
    return whole.hexdigest()


def _imported(family: str, file: Path, code: bytes) -> Iterator[Path]:
    """The files of the repository that one with this code imports, at its head or anywhere."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError) as error:  # ValueError: null bytes
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) else ""
        told = f"{os.path.relpath(file)}{line}: {getattr(error, 'msg', error)}"
        raise UserError(where(family), "code that Python can read", told, "mend it") from None
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files(Path(), alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            start = file.absolute().parents[node.level - 1] if node.level else Path()
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _files(start, [*parts, alias.name])


def _files(start: Path, parts: list[str]) -> Iterator[Path]:
    """What the import of a dotted name runs below `start`: packages on the way, and the module."""
    if parts[:1] == [_PROJECT]:
        return
    for depth in range(1, len(parts) + 1):
        stem = start.joinpath(*parts[:depth])
        for path in (stem / "__init__.py", stem.parent / f"{stem.name}.py"):
            if path.is_file():
                yield path
