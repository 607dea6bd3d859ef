"""Which datasets there are, by name; cheap to import.

A further dataset is a further `Entry` in `entries.py` (and, where its files are of a new kind, a
further reader in `readers.py`).
"""

from __future__ import annotations

from sharpvae.datasets.entries import ENTRIES
from sharpvae.datasets.entry import Entry
from sharpvae.errors import UserError, nearest

CATALOGUE = {entry.name: entry for entry in ENTRIES}


def names() -> list[str]:
    """Every valid `data.name`."""
    return list(CATALOGUE)


def check_name(name: str) -> None:
    """Raises: UserError: no dataset of that name, with the nearest one that there is."""
    if name not in CATALOGUE:
        raise UserError("data.name", "the name of a dataset", repr(name), nearest(name, names()))


def entry(name: str) -> Entry:
    """The entry of `data.name`; UserError as `check_name`."""
    check_name(name)
    return CATALOGUE[name]
