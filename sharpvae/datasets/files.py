"""Image files in folders and archives, and what their folders say."""

from __future__ import annotations

import os
import stat
import unicodedata
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sharpvae.core.errors import UserError, visible
from sharpvae.datasets.decode import Pixels, UnusableImageError
from sharpvae.images.packed import SPLITS, Skipped, SplitName

TRAIN, VALIDATION, TEST = range(3)  # positions in SPLITS, as in `Pool.own_split`
_READ = os.O_RDONLY | os.O_NONBLOCK  # or a pipe would wait for whoever writes into it
_FIRST = 1 << 16  # bytes of a file that are read before its size is asked
MAX_FILE = 1 << 28  # bytes; no photograph is larger than 256 MiB
MAX_RATIO = 100  # an archive of images hardly shrinks; one that grows more than this is a bomb
DEEPEST = 64  # folders, one in the other
MOST_LINKS = 64  # to one folder: links that fan out give more paths than there are names for
_ENCRYPTED = 1  # of a member's flags
FREE_SIZE = 1 << 30  # bytes unpacked below which no archive is suspected
_MEANING = {
    "train": TRAIN, "training": TRAIN, "val": VALIDATION, "valid": VALIDATION,
    "validation": VALIDATION, "test": TEST, "testing": TEST,
}  # fmt: skip
_SUFFIXES = (
    ".avif", ".bmp", ".gif", ".j2k", ".jp2", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif",
    ".tiff", ".webp",
)  # fmt: skip


def _twice(path: str, name: str) -> UserError:
    return UserError(
        path, "names that differ in more than the spelling of their Unicode",
        f"another {name!r} beside it", "rename one of the two",
    )  # fmt: skip


def open_files(path: Path) -> Files:
    """List a folder or a zip archive; hidden files and `__MACOSX` are left out.

    UserError where it does not exist, is neither folder nor zip, not readable, or a zip bomb; or
    where its folders lie deeper than `DEEPEST`, or links lead to one of them `MOST_LINKS` times.
    """
    if path.is_dir():
        return FolderFiles(path)
    if not path.exists():
        raise UserError(
            "data.path", "a folder or .zip of images", f"no such file or folder: {path}"
        )
    if not path.is_file():  # to read a pipe or a device may never end
        raise UserError(str(path), "a folder or .zip of images", "a pipe or a device")
    return ZipFiles(path)


def _too_deep(place: str) -> UserError:
    return UserError(
        place, f"folders at most {DEEPEST} deep", "one that lies deeper",
        "move the images up, or name a folder below",
    )  # fmt: skip


class FolderFiles:
    """All files below a folder; links are followed, except those that lead back up."""

    def __init__(self, top: Path) -> None:
        self._paths: dict[str, str] = {}
        self._names: set[str] = set()
        self._times: Counter[str] = Counter()  # that a folder was met, by its real path
        self.folders: list[str] = []  # clean names relative to the top, sorted; the empty ones too
        self.outside: list[str] = []  # of a ZipFiles: names that point out of it; never read
        self._walk(top, "", frozenset())
        self.files = sorted(self._paths)  # clean names, with `/`
        self.folders.sort()

    def _walk(self, folder: Path, prefix: str, seen: frozenset[str]) -> None:
        real = os.path.realpath(folder)
        seen |= {real}  # a link back up is a loop
        self._times[real] += 1
        if self._times[real] > MOST_LINKS:
            raise UserError(
                str(folder), f"a folder that at most {MOST_LINKS} links lead to", "more of them",
                "remove links, or name a folder without them",
            )  # fmt: skip
        if len(seen) > DEEPEST:
            raise _too_deep(str(folder))
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            raise UserError(
                str(folder), "a folder that can be read", str(error.strerror),
                "change its permissions, or move it elsewhere",
            ) from None  # fmt: skip
        for entry in entries:
            name = prefix + clean(entry.name)
            if hidden(entry.name):
                continue
            if name in self._names:
                raise _twice(entry.path, name)
            if not _is_folder(entry):
                self._paths[name] = entry.path
            elif os.path.realpath(entry.path) in seen:
                continue
            else:
                self.folders.append(name)
                self._walk(Path(entry.path), name + "/", seen)
            self._names.add(name)

    def read(self, name: str) -> bytes:
        """As `read_image_file`."""
        return read_image_file(self._paths[name])

    def close(self) -> None:
        """Nothing is open."""


def read_image_file(path: str | Path) -> bytes:
    """The bytes of a regular file of at most MAX_FILE bytes; else UnusableImageError."""
    try:
        opened = os.open(path, _READ)
        try:
            first = min(_FIRST, MAX_FILE)
            data = os.read(opened, first)
            if 0 < len(data) < first:  # all of a small file, without asking its size
                return data
            found = os.fstat(opened)
            if not stat.S_ISREG(found.st_mode):
                raise UnusableImageError("not a regular file")
            if found.st_size > MAX_FILE:
                raise UnusableImageError(f"larger than {MAX_FILE >> 20} MiB")
            return data + os.read(opened, max(0, found.st_size - len(data)))
        finally:
            os.close(opened)
    except OSError as error:
        raise UnusableImageError(f"cannot be read: {error.strerror}") from None


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: reported when read as a file
        return False


class ZipFiles:
    """As `FolderFiles`, of a zip archive: read one at a time in memory, never extracted."""

    def __init__(self, path: Path) -> None:
        self._members: dict[str, zipfile.ZipInfo] = {}
        self.outside: list[str] = []
        folders: set[str] = set()
        try:
            self._archive = zipfile.ZipFile(path)
            packed_size = path.stat().st_size
        except Exception as error:  # zipfile raises whatever comes on damaged files
            raise UserError(
                str(path), "a folder, or a whole .zip archive", str(error) or type(error).__name__,
                "if the archive was downloaded, download it again",
            ) from None  # fmt: skip
        for member in self._archive.infolist():
            whole = clean(member.filename.replace("\\", "/"))
            parts = [part for part in whole.split("/") if part not in ("", ".")]
            if ".." in parts:
                self.outside.append(whole)
                continue
            if not parts or any(hidden(part) for part in parts):
                continue
            if len(parts) > DEEPEST:
                self.close()
                raise _too_deep(str(path))
            name = "/".join(parts)
            if not member.is_dir():
                if name in self._members:
                    raise _twice(f"{path}/{member.filename}", name)
                self._members[name] = member
            parts = parts[: None if member.is_dir() else -1]
            folders |= {"/".join(parts[:depth]) for depth in range(1, len(parts) + 1)}
        self.files, self.folders = sorted(self._members), sorted(folders)
        self._refuse_bomb(path, packed_size)

    def _refuse_bomb(self, path: Path, packed_size: int) -> None:
        size = sum(member.file_size for member in self._members.values())
        if size > max(FREE_SIZE, MAX_RATIO * packed_size):
            self.close()
            raise UserError(
                str(path),
                f"an archive of images, at most {MAX_RATIO} times smaller than what it holds",
                f"{packed_size} bytes that unpack to {size}: a zip bomb?",
                "if the images are what you want, unpack it and name the folder instead",
            )

    def read(self, name: str) -> bytes:
        """The bytes of one member; UnusableImageError where they cannot be had."""
        member = self._members[name]
        if stat.S_ISLNK(member.external_attr >> 16):
            raise UnusableImageError("a symbolic link")
        if member.file_size > MAX_FILE:
            raise UnusableImageError(f"larger than {MAX_FILE >> 20} MiB")
        if member.flag_bits & _ENCRYPTED:
            raise UnusableImageError("encrypted")
        try:
            return self._archive.read(member)
        except NotImplementedError as error:
            raise UnusableImageError(f"packed in a way that cannot be read: {error}") from None
        except Exception as error:  # as above
            why = str(error) or type(error).__name__
            raise UnusableImageError(f"a damaged member of the archive: {why}") from None

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


Files = FolderFiles | ZipFiles


def clean(name: str) -> str:
    """One spelling of a name on every system: composed Unicode, and nothing but text.

    Newlines, escape sequences and the like are spelt out, for names become those of classes.
    """
    if name.isascii() and name.isprintable():
        return name
    return visible(unicodedata.normalize("NFC", name))


def hidden(name: str) -> bool:
    """Names that file managers add: `.DS_Store`, `__MACOSX`, `Thumbs.db`."""
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Layout:
    """How image files lie in their folders; those that are `stray` lie outside of them."""

    prefix: str  # folders that hold everything, with a closing `/`; "" where there is none
    files: list[str]  # [N] names below `prefix`, sorted
    stray: list[str]
    class_names: list[str] | None = None  # sorted; None where there are no class folders
    labels: NDArray[np.int64] | None = None  # [N], positions in `class_names`
    own_split: NDArray[np.int8] | None = None  # [N], positions in SPLITS


def layout(files: Files, path: Path) -> Layout:
    """Read splits and classes off the folders: `train/cat/1.png`, `train/1.png` or `cat/1.png`.

    Folders have a meaning where at least two lie side by side and no image beside them: they are
    splits where all are named like one, and one is for training; else classes. A folder that
    merely wraps everything is skipped, so that a zip of a folder means what the folder means.

    Raises:
        UserError: nothing there, a class folder without files, images beside class folders, or
            class folders in some splits only.
    """
    prefix = ""
    while len(folders := _below(files.folders, prefix)) == 1 and not _images(files, prefix):
        prefix += folders[0] + "/"
    names = [name[len(prefix) :] for name in files.files if name.startswith(prefix)]
    if not names:
        raise UserError(
            str(path), "images", "no file in it", "put images there, or name another place"
        )
    stray = [name for name in files.files if not name.startswith(prefix)]
    if not folders:
        return Layout(prefix, names, stray)
    top = f"{path}/{prefix}".rstrip("/")
    if loose := _images(files, prefix):
        raise UserError(
            top, "either images alone, or class folders alone",
            f"folders ({_few(folders)}) and images beside them ({_few(loose)})",
            "move the images into class folders, or all images into one folder",
        )  # fmt: skip
    stray += [name for name in names if "/" not in name]
    names = [name for name in names if "/" in name]
    filled = {name.split("/")[0] for name in names}
    if empty := [folder for folder in folders if folder not in filled]:
        raise UserError(
            f"{top}/{empty[0]}", "images of this class", "an empty folder",
            "put images into it, or remove it",
        )  # fmt: skip
    own_split, depth = _splits(folders, names, top)
    if depth is None:
        return Layout(prefix, names, stray, own_split=own_split)
    classes, labels = np.unique([name.split("/")[depth] for name in names], return_inverse=True)
    return Layout(prefix, names, stray, classes.tolist(), labels.astype(np.int64), own_split)


def _splits(
    folders: list[str], names: list[str], top: str
) -> tuple[NDArray[np.int8] | None, int | None]:
    """`Layout.own_split`, and how deep the class folders lie; None where there are none."""
    splits = {folder: _MEANING.get(folder.lower()) for folder in folders}
    if None in splits.values() or TRAIN not in splits.values():
        return None, 0
    parts = [name.split("/") for name in names]
    deep = [len(folders_and_file) > 2 for folders_and_file in parts]
    if any(deep) and not all(deep):
        raise UserError(
            f"{top}/{names[deep.index(False)]}",
            "an image in a class folder, as others are", "one beside them",
            "move it into a class folder, or move all images out of them",
        )  # fmt: skip
    own_split = np.array([splits[folder] for folder, *_ in parts], dtype=np.int8)
    return own_split, 1 if any(deep) else None


def _below(names: list[str], prefix: str) -> list[str]:
    """Those directly below `prefix`, without it."""
    below = (name[len(prefix) :] for name in names if name.startswith(prefix))
    return [name for name in below if "/" not in name]


def _images(files: Files, prefix: str) -> list[str]:
    """Files directly below `prefix` with the suffix of an image."""
    return [name for name in _below(files.files, prefix) if name.lower().endswith(_SUFFIXES)]


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


@dataclass(frozen=True)
class Pool:
    """The images of a dataset, read when asked for."""

    place: str  # the folder of the images, or of the class folders, for messages
    names: Sequence[str]  # [N], one an image below `place`, the same on every machine
    image: Callable[[int], Pixels]  # of any size; raises UnusableImageError; thread-safe
    labels: NDArray[np.int64] | None = None  # [N]
    class_names: Sequence[str] | None = None  # of each label
    own_split: NDArray[np.int8] | None = None  # [N], the publishers', as positions in SPLITS
    factors: NDArray[np.int64] | None = None  # [N, K]
    factor_names: tuple[str, ...] | None = None  # [K]
    skipped: list[Skipped] = field(default_factory=list)  # files that were not listed

    @property
    def own_splits(self) -> frozenset[SplitName]:
        """The splits that the publishers set apart."""
        if self.own_split is None:
            return frozenset()
        return frozenset(SPLITS[position] for position in np.unique(self.own_split).tolist())
