"""Class names that a key refers to, held against those that there are."""

from __future__ import annotations

from collections.abc import Sequence

from sharpvae.errors import UserError, nearest


def unknown_classes(
    where: str, rows: Sequence[Sequence[str]] | None, class_names: Sequence[str]
) -> list[UserError]:
    """One error for each name in `rows`, which stands at the dotted key `where`, of no class."""
    return [
        UserError(f"{where}[{index}]", "names of classes", repr(name), nearest(name, class_names))
        for index, row in enumerate(rows or [])
        for name in row
        if name not in class_names
    ]
