"""What a module of this repository imports of this repository, read from the source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PACKAGES = ("sharpvae", "stages", "apps")


def imported_names(path: Path) -> Iterator[str]:
    """Dotted names that `path` imports when it runs, those inside functions too."""
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
            assert node.level == 0 and node.module, f"{path}: relative import"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_file(name: str) -> Path | None:
    """The file of a module of this repository; None for a package or a foreign module."""
    if name.split(".")[0] not in PACKAGES:
        return None
    path = REPOSITORY.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.exists() else None


def closure(path: Path) -> set[Path]:
    """`path` and every file of this repository that it imports, directly or not."""
    seen: set[Path] = set()
    open_ = [path]
    while open_:
        file = open_.pop()
        if file not in seen:
            seen.add(file)
            open_ += [found for name in imported_names(file) if (found := module_file(name))]
    return seen
