"""Which source files of this repository a module runs on, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("sharpvae", "stages", "apps")


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names that `path` imports when it runs, those inside functions too.

    Raises:
        ValueError: a relative import, which this project has none of.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in for_types_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or not node.module:
                raise ValueError(f"{path}: relative import")
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_file(name: str, root: Path) -> Path | None:
    """The file of a module of the project at `root`; None for a package or a foreign module."""
    if name.split(".")[0] not in PACKAGES:
        return None
    path = root.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.exists() else None


def import_closure(path: Path, root: Path) -> set[Path]:
    """`path` and every file of the project at `root` that it imports, directly or not."""
    seen: set[Path] = set()
    open_ = [path]
    while open_:
        file = open_.pop()
        if file not in seen:
            seen.add(file)
            found = (module_file(name, root) for name in imported_names(file))
            open_ += [module for module in found if module]
    return seen


def closure(path: Path) -> set[Path]:
    """`path` and every file of this repository that it imports, directly or not."""
    return import_closure(path, REPOSITORY)
